# `cmake --install`: headers, library, the CMake package and the pkg-config file.
include(CMakePackageConfigHelpers)

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/ringmill")

# Programs and shared libraries are installed without debug information, which is most of their size; the build tree
# keeps it, and addresses of one are those of the other: `addr2line -e build/release/bin/ringmill`.
option(RINGMILL_INSTALL_STRIPPED "Install optimised programs without debug information" ON)
if(RINGMILL_INSTALL_STRIPPED)
  install(CODE "set(CMAKE_INSTALL_DO_STRIP TRUE)" CONFIGURATIONS Release RelWithDebInfo MinSizeRel)
endif()

install(TARGETS ringmill EXPORT ringmill-targets
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(TARGET ringmill-c)
  install(TARGETS ringmill-c EXPORT ringmill-targets
          LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
          FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
endif()
install(EXPORT ringmill-targets NAMESPACE ringmill:: DESTINATION "${package_folder}")
if(TARGET ringmill-cli)
  install(TARGETS ringmill-cli DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()

configure_package_config_file(cmake/ringmill-config.cmake.in "${PROJECT_BINARY_DIR}/ringmill-config.cmake"
                              INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/ringmill-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/ringmill-config.cmake" "${PROJECT_BINARY_DIR}/ringmill-config-version.cmake"
        DESTINATION "${package_folder}")

# One file for C and C++: a C++ program takes from libringmill++.a, a C program from libringmill.so.0 (docs/c.md).
# A program that links the static library must link what that uses; the shared one brings it along. The libraries are
# named instead of required, because `Requires` would give the caller the macros of their headers, too, and no public
# header of ours includes those.
set(RINGMILL_PKG_CONFIG_LIBS "")
if(NOT BUILD_SHARED_LIBS)
  find_program(RINGMILL_PKG_CONFIG pkg-config REQUIRED)
  execute_process(COMMAND "${RINGMILL_PKG_CONFIG}" --libs-only-l spdlog fmt liburing sqlite3 absl_time
                  OUTPUT_VARIABLE RINGMILL_PKG_CONFIG_LIBS OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
endif()
set(RINGMILL_PKG_CONFIG_C "")
if(TARGET ringmill-c)
  set(RINGMILL_PKG_CONFIG_C "-lringmill ")
endif()
# Found from the file's own place, so that `cmake --install --prefix` may put the tree anywhere.
file(RELATIVE_PATH RINGMILL_PKG_CONFIG_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" RINGMILL_PKG_CONFIG_PREFIX "${RINGMILL_PKG_CONFIG_PREFIX}")
configure_file(cmake/ringmill.pc.in "${PROJECT_BINARY_DIR}/ringmill.pc" @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/ringmill.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
