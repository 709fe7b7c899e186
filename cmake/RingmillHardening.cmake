# What makes a fault of ours harder to use: docs/decisions/0032-hardening.md. tools/hardening looks at what was built.
# Not at -O0, where FORTIFY does nothing, nor under the sanitizers, which look at more than all of it.

option(RINGMILL_HARDENING "Harden optimised builds: RELRO, BIND_NOW, PIE, stack protector, FORTIFY, CET" ON)
if(RINGMILL_HARDENING AND NOT RINGMILL_SANITIZE)
  set(RINGMILL_HARDENS "$<AND:$<NOT:$<CONFIG:Debug>>,$<NOT:$<STREQUAL:$<CONFIG>,>>>")
else()
  set(RINGMILL_HARDENS "0")
endif()

include(CheckPIESupported)
check_pie_supported(LANGUAGES CXX)

target_compile_options(ringmill-rooms INTERFACE "$<${RINGMILL_HARDENS}:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>")
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(ringmill-rooms INTERFACE "$<${RINGMILL_HARDENS}:-fcf-protection=return>")
endif()
target_link_options(ringmill-rooms INTERFACE "$<${RINGMILL_HARDENS}:LINKER:-z,relro,-z,now,-z,noexecstack>")

# A canary in these files. Not for all: on the hot path it has a price.
function(ringmill_protect_stack)
  set_property(SOURCE ${ARGN} TARGET_DIRECTORY ringmill APPEND PROPERTY
    COMPILE_OPTIONS "$<${RINGMILL_HARDENS}:-fstack-protector-strong>")
endfunction()

# The standard library's own checks of bounds, for files that take apart what others may have written: a target of their
# own, because their precompiled headers have these checks. A Debug build has them everywhere.
add_library(ringmill-parsers OBJECT)
target_compile_options(ringmill-parsers PRIVATE "$<${RINGMILL_HARDENS}:-D_GLIBCXX_ASSERTIONS>")

# Of the files in LIST those with these names (X for X.cc), in whichever folder. A name that none has is an error: a
# file that moves or is renamed keeps its options, or says that it has lost them.
function(ringmill_files_named VARIABLE LIST)
  set(named "")
  foreach(name IN LISTS ARGN)
    set(matching ${${LIST}})
    list(FILTER matching INCLUDE REGEX "/${name}\\.cc$")
    if(NOT matching)
      message(FATAL_ERROR "no file ${name}.cc is among the sources: name the one that took its place")
    endif()
    list(APPEND named ${matching})
  endforeach()
  set(${VARIABLE} ${named} PARENT_SCOPE)
endfunction()
