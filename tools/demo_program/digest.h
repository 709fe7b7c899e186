// The work of one job: the SHA-256 of a file, computed by OpenSSL.
#pragma once

#include <memory>
#include <string>
#include <vector>

struct evp_md_ctx_st;

namespace ringmill::demo {

class Digester {
 public:
  Digester();
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;

  /// 64 hexadecimal digits; empty when the file cannot be read. Throws std::runtime_error when OpenSSL fails.
  std::string sha256_of(const std::string& path);

 private:
  evp_md_ctx_st* context_;
  std::vector<unsigned char> buffer_;
};

}  // namespace ringmill::demo
