# What the whole tree is compiled with.

option(RINGMILL_BUILD_PROGRAMS "Build the ringmill command" ${PROJECT_IS_TOP_LEVEL})
option(RINGMILL_BUILD_C "Build libringmill.so.0, the C interface" ${PROJECT_IS_TOP_LEVEL})
option(RINGMILL_BUILD_TESTS "Build tests, proofs, benchmarks and examples" ${PROJECT_IS_TOP_LEVEL})
option(RINGMILL_WARNINGS_AS_ERRORS "Fail on a warning" ${PROJECT_IS_TOP_LEVEL})
option(RINGMILL_HOT_PATH_AS_ONE "Compile the files of the hot path as one unit" ON)
option(RINGMILL_COMPILE_TOGETHER "Compile several files as one where they share much: all sooner, one alone later" OFF)
option(RINGMILL_FUZZ "Make the fuzzers' targets (needs clang 16)" OFF)
set(RINGMILL_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=: 'address,undefined' or 'thread'")

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# Programs of all rooms in one folder; a tree that includes ours as a part decides for itself.
if(PROJECT_IS_TOP_LEVEL)
  set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
  set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
  set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
endif()

find_program(RINGMILL_CCACHE ccache)
mark_as_advanced(RINGMILL_CCACHE)
if(RINGMILL_CCACHE AND PROJECT_IS_TOP_LEVEL AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RINGMILL_CCACHE}")
endif()

# Everything that may see the private headers links this: include paths from the root, and the warnings.
add_library(ringmill-rooms INTERFACE)
target_include_directories(ringmill-rooms INTERFACE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
target_compile_options(ringmill-rooms INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wold-style-cast
  # Stacks stay readable in debug and sanitizer builds. In a release they cost a job 5 % (docs/decisions/0008).
  $<$<CONFIG:Debug>:-fno-omit-frame-pointer>
  # Code that may become part of a shared library still inlines its own calls.
  -fno-semantic-interposition)
if(RINGMILL_WARNINGS_AS_ERRORS)
  target_compile_options(ringmill-rooms INTERFACE -Werror)
endif()

if(RINGMILL_SANITIZE)
  target_compile_options(ringmill-rooms INTERFACE -fsanitize=${RINGMILL_SANITIZE} -fno-sanitize-recover=all
    # g++ 12 sees uninitialised values in code that its own sanitizers added.
    -Wno-error=maybe-uninitialized)
  target_link_options(ringmill-rooms INTERFACE -fsanitize=${RINGMILL_SANITIZE})
endif()

include(RingmillHardening)

# The files of one room (found again at each build, so a new file needs no edit here).
function(ringmill_room_sources VARIABLE)
  file(GLOB files CONFIGURE_DEPENDS ${ARGN})
  set(${VARIABLE} ${files} PARENT_SCOPE)
endfunction()

# Headers of others that most files of a target read: parsing them once saves half of a build. A file still includes all
# that it uses: the sanitizer presets build without precompiled headers and would not compile otherwise.
set(RINGMILL_COMMON_HEADERS
  <algorithm> <array> <atomic> <chrono> <cstdint> <expected> <filesystem> <functional> <map> <memory> <optional> <span>
  <string> <string_view> <thread> <utility> <vector> <fmt/format.h>)
set(RINGMILL_PROGRAM_HEADERS ${RINGMILL_COMMON_HEADERS} <CLI/CLI.hpp> <nlohmann/json.hpp>)
set(RINGMILL_TEST_HEADERS ${RINGMILL_COMMON_HEADERS} <fstream> <gtest/gtest.h> <nlohmann/json.hpp>)

# What the files of one folder all instantiate is compiled once for as many as MOST of them (docs/decisions/0035). So no
# two of them may give one name to two things, not even in unnamed namespaces. A file with options or definitions of its
# own is compiled alone.
function(ringmill_compile_together TARGET MOST)
  if(NOT RINGMILL_COMPILE_TOGETHER)
    return()
  endif()
  set(folders "")
  foreach(file IN LISTS ARGN)
    cmake_path(ABSOLUTE_PATH file)
    cmake_path(GET file PARENT_PATH folder)
    cmake_path(GET folder FILENAME folder)
    list(APPEND folders ${folder})
    list(APPEND files_of_${folder} ${file})
  endforeach()
  list(REMOVE_DUPLICATES folders)
  foreach(folder IN LISTS folders)
    list(LENGTH files_of_${folder} count)
    math(EXPR parts "(${count} + ${MOST} - 1) / ${MOST}")
    set(at 0)
    foreach(file IN LISTS files_of_${folder})
      math(EXPR part "${at} * ${parts} / ${count} + 1")
      set_source_files_properties(${file} PROPERTIES UNITY_GROUP "${folder}_${part}")
      math(EXPR at "${at} + 1")
    endforeach()
  endforeach()
  # A name of one file may hide one of another there. Presets that compile each file alone warn where it is one file's.
  set_target_properties(${TARGET} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP
    UNITY_BUILD_CODE_BEFORE_INCLUDE "#pragma GCC diagnostic ignored \"-Wshadow\"")
endfunction()

# One program of one or more files, which may use the private headers. PRECOMPILE: headers to parse once. TOGETHER: so
# many files of one folder are compiled as one.
function(ringmill_program TARGET)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "NAME;TOGETHER" "SOURCES;LIBRARIES;PRECOMPILE")
  add_executable(${TARGET} ${arg_SOURCES})
  target_link_libraries(${TARGET} PRIVATE ringmill-rooms ringmill fmt::fmt spdlog::spdlog ${arg_LIBRARIES})
  if(arg_PRECOMPILE)
    target_precompile_headers(${TARGET} PRIVATE ${arg_PRECOMPILE})
  endif()
  if(arg_TOGETHER)
    ringmill_compile_together(${TARGET} ${arg_TOGETHER} ${arg_SOURCES})
  endif()
  if(arg_NAME)
    set_target_properties(${TARGET} PROPERTIES OUTPUT_NAME ${arg_NAME})
  endif()
endfunction()

# Lets a program of ours make calls of the C interface through the shared library, as a program in C does.
function(ringmill_call_through_c TARGET)
  target_include_directories(${TARGET} PRIVATE "${PROJECT_SOURCE_DIR}/clients/c/include")
  if(RINGMILL_BUILD_C)
    target_link_libraries(${TARGET} PRIVATE $<TARGET_LINKER_FILE:ringmill-c>)
    add_dependencies(${TARGET} ringmill-c)
    set_property(TARGET ${TARGET} APPEND PROPERTY BUILD_RPATH "$<TARGET_FILE_DIR:ringmill-c>")
  else()
    target_link_libraries(${TARGET} PRIVATE ringmill-c-objects)
  endif()
endfunction()
