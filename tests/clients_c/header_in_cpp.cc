// The header is C++ of any age as well.
#include <ringmill/ringmill.h>

rm_code open_in_cpp(const char* directory, rm_engine** engine) { return rm_open(directory, nullptr, engine, nullptr); }
