// ringmill serve: an engine over HTTP: the page, the API, metrics and health.
#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "core/base/file_names.h"
#include "core/instance/engine_files.h"
#include "ipc/file.h"
#include "server/api.h"
#include "server/sockets.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/service.h"

namespace ringmill::cli {

namespace {

struct ServeWords {
  std::filesystem::path directory;
  std::string listen;
  std::filesystem::path token_file;
  std::filesystem::path assets;
  bool allow_actions = false;
};

HttpHandler guarded(Api& api, Gate gate) {
  return [&api, gate = std::move(gate)](const HttpRequest& request) {
    if (auto refused = refusal(gate, request)) return *std::move(refused);
    return api.answer(request);
  };
}

/// Names that a browser may ask for when it reaches this address.
std::vector<std::string> hosts_of(const ListenAddress& address) {
  std::vector<std::string> hosts{address.url_host()};
  if (address.is_loopback) hosts.insert(hosts.end(), {"localhost", "127.0.0.1", "[::1]"});
  return hosts;
}

Result<std::unique_ptr<HttpListener>> serve_tcp(const ServeWords& words, Api& api, Output& output) {
  auto address = ListenAddress::parse(words.listen);
  if (!address) return std::unexpected(address.error());
  if (!address->is_loopback && words.token_file.empty()) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "other machines could reach this address",
                                 "give a --token-file for it, or listen on 127.0.0.1 and use ssh -L"));
  }
  const std::filesystem::path file = words.token_file.empty() ? words.directory / serve_token_file : words.token_file;
  auto token = token_of(file);
  if (!token) return std::unexpected(token.error());
  auto socket = listen_on(*address);
  if (!socket) return std::unexpected(socket.error());
  if (!address->is_loopback) {
    fail("serve", exit_done,
         "warning: " + address->url_host() +
             " can be reached by other machines, and nothing is encrypted: the token can be "
             "read on its way; use a proxy with TLS");
  }
  auto listener = HttpListener::start(*std::move(socket), false,
                                      guarded(api, {.is_tcp = true,
                                                    .allows_actions = words.allow_actions,
                                                    .hosts = hosts_of(*address),
                                                    .port = address->port,
                                                    .token = *token}));
  // The fragment stays in the browser: neither logs nor other sites get it.
  if (listener) output.line(fmt::format("http://{}:{}/#token={}", address->url_host(), address->port, *token));
  return listener;
}

Result<std::unique_ptr<HttpListener>> serve_socket(const EngineFiles& files, const ServeWords& words, Api& api,
                                                   File inherited, Output& output) {
  // One that the service manager listens on has a name, and rights, that its unit gives it.
  const bool is_inherited = static_cast<bool>(inherited);
  auto socket = is_inherited ? Result<File>(std::move(inherited)) : listen_in(files.folder(), serve_socket_file);
  if (!socket) return std::unexpected(socket.error());
  Gate gate;
  gate.allows_actions = words.allow_actions;
  auto listener = HttpListener::start(*std::move(socket), true, guarded(api, gate));
  if (listener && is_inherited) output.line("the socket of the service manager");
  if (listener && !is_inherited) output.line("unix:" + files.folder().path_of(serve_socket_file).string());
  return listener;
}

/// The one Unix socket that the service manager listens on for this process; empty: none.
Result<File> inherited_socket() {
  std::vector<File> sockets = inherited_sockets();
  if (sockets.empty()) return File();
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  const bool is_named =
      ::getsockname(sockets.front().descriptor(), reinterpret_cast<sockaddr*>(&address), &length) == 0;
  if (sockets.size() == 1 && is_named && address.ss_family == AF_UNIX) return std::move(sockets.front());
  return std::unexpected(Error(ErrorCode::invalid_argument, "the service manager gave no single Unix socket",
                               "its .socket unit has one ListenStream=PATH; for TCP use --listen"));
}

int run_serve(const ServeWords& words) {
  // Blocked before any thread begins, so that all of them leave the signals to sigwait().
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, signal);
  ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  const auto files = EngineFiles::open(words.directory, EngineFiles::For::look);
  if (!files) return fail("serve", files.error());
  Sampler sampler(words.directory);
  Api api({.directory = words.directory, .allows_actions = words.allow_actions, .assets = words.assets}, sampler);
  Output output;
  std::unique_ptr<HttpListener> tcp;
  auto inherited = inherited_socket();
  if (!inherited) return fail("serve", inherited.error());
  const bool has_own_socket = !*inherited;
  const auto remove_own_socket = [&] {
    if (has_own_socket) static_cast<void>(files->folder().remove_if_there(serve_socket_file));
  };
  const auto local = serve_socket(*files, words, api, *std::move(inherited), output);
  if (!local) return fail("serve", local.error());
  if (!words.listen.empty()) {
    auto listener = serve_tcp(words, api, output);
    if (!listener) {
      remove_own_socket();
      return fail("serve", listener.error());
    }
    tcp = *std::move(listener);
  }
  output.flush();
  tell_manager("READY=1");
  int signal = 0;
  ::sigwait(&ends, &signal);
  tell_manager("STOPPING=1");
  remove_own_socket();
  return output.finish(exit_done);
}

}  // namespace

Command add_serve(CLI::App& program) {
  auto words = std::make_shared<ServeWords>();
  CLI::App* app = program.add_subcommand("serve", "Serve an engine over HTTP: a web page, a JSON API, metrics, health");
  add_directory(*app, words->directory);
  app->add_option("--listen", words->listen, "Also on TCP; everything but the empty page needs the token then")
      ->type_name("ADDRESS:PORT");
  app->add_flag("--allow-actions", words->allow_actions,
                "Let the page pause, resume, cancel, retry and purge; without it, it only shows");
  app->add_option("--token-file", words->token_file, "The token of TCP (DIR/serve.token); made if it is not there")
      ->type_name("FILE");
  app->add_option("--assets", words->assets, "Read the page's files from this folder (to work on the page)")
      ->type_name("FOLDER");
  app->footer(
      "It listens on serve.sock in the engine's directory, whose mode decides which users may ask, and prints where.\n"
      "Looking writes nothing and recovers nothing; one look a second serves all viewers. The log has each action "
      "with\n"
      "the user or address that asked. It ends with SIGINT or SIGTERM.\n"
      "\n"
      "Examples:\n"
      "  ringmill serve /tmp/jobs --listen 127.0.0.1:8787\n"
      "  curl --unix-socket /tmp/jobs/serve.sock http://engine/metrics\n"
      "  ringmill serve /tmp/jobs --listen 127.0.0.1:8787 --allow-actions");
  return {app, [words] { return run_serve(*words); }};
}

}  // namespace ringmill::cli
