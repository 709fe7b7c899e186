#include "tools/demo_program/digest.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "ipc/file.h"

namespace ringmill::demo {

namespace {
constexpr std::size_t read_bytes = 256 * 1024;

void must(int openssl_result) {
  if (openssl_result != 1) throw std::runtime_error("OpenSSL cannot compute SHA-256");
}
}  // namespace

Digester::Digester() : context_(EVP_MD_CTX_new()), buffer_(read_bytes) {
  if (context_ == nullptr) throw std::bad_alloc();
}

Digester::~Digester() { EVP_MD_CTX_free(context_); }

std::string Digester::sha256_of(const std::string& path) {
  const auto file = open_file(path, O_RDONLY | O_NONBLOCK);  // should a pipe have taken the file's place: do not hang
  if (!file) return {};
  must(EVP_DigestInit_ex(context_, EVP_sha256(), nullptr));
  while (true) {
    const ssize_t got = ::read(file->descriptor(), buffer_.data(), buffer_.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return {};
    if (got == 0) break;
    must(EVP_DigestUpdate(context_, buffer_.data(), static_cast<std::size_t>(got)));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  must(EVP_DigestFinal_ex(context_, digest.data(), &size));
  std::string text;
  for (unsigned int n = 0; n < size; ++n) text += fmt::format("{:02x}", digest[n]);
  return text;
}

}  // namespace ringmill::demo
