# The cuda backend's kernels as part of the binary: their text always; compiled for each architecture where NVRTC is found on
# the build machine. Included by src/backend/CMakeLists.txt after tn_module(backend).
set(cubins_wanted ON)
if(TN_TESTS)
  set(cubins_wanted OFF) # developers' builds compile them only for the report of `make test`
endif()
option(TN_CUDA_CUBINS "embed compiled kernels (needs NVRTC at build time)" ${cubins_wanted})
find_file(TN_NVRTC_LIBRARY NAMES libnvrtc.so.13 libnvrtc.so.12 PATHS /usr/local/cuda/lib64 /usr/lib/x86_64-linux-gnu /usr/lib/aarch64-linux-gnu
  ENV LD_LIBRARY_PATH DOC "NVRTC, for compiling kernels at build time")
set(cuda ${CMAKE_CURRENT_SOURCE_DIR}/cuda)

file(GLOB headers CONFIGURE_DEPENDS ${cuda}/kernels/*.cuh ${cuda}/kernels/*.h)
list(APPEND headers ${cuda}/kv_layout.h ${cuda}/layout_planes.h ${PROJECT_SOURCE_DIR}/src/op/slot.h ${PROJECT_SOURCE_DIR}/src/op/philox.h
  ${PROJECT_SOURCE_DIR}/include/tenon/op_enums.h)
set(number 0)
set(table "")
foreach(header ${headers})
  string(REGEX REPLACE "^${PROJECT_SOURCE_DIR}/(src|include)/" "" name ${header})
  string(APPEND table "TN_CUDA_HEADER(${number}, \"${name}\", \"${header}\")\n")
  math(EXPR number "${number} + 1")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/cuda/cuda_headers.def CONTENT "${table}" @ONLY)

file(STRINGS ${cuda}/kernels.def lines REGEX "^TN_CUDA_SOURCE\\(")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${cuda}/kernels.def)
set(files "")
set(texts "")
foreach(line ${lines})
  string(REGEX REPLACE "^TN_CUDA_SOURCE\\(([a-z0-9_]+)\\).*" "\\1" file ${line})
  list(APPEND files ${file})
  list(APPEND texts ${cuda}/kernels/${file}.cu)
endforeach()
set_source_files_properties(${cuda}/text.c PROPERTIES COMPILE_DEFINITIONS TN_SOURCE_ROOT="${PROJECT_SOURCE_DIR}/src"
  INCLUDE_DIRECTORIES ${CMAKE_CURRENT_BINARY_DIR}/cuda OBJECT_DEPENDS "${texts};${headers}")

# The tool has its own main.
get_target_property(sources tn_backend SOURCES)
list(REMOVE_ITEM sources ${cuda}/compile_kernel.c)
set_target_properties(tn_backend PROPERTIES SOURCES "${sources}")
target_link_libraries(tn_backend PUBLIC ${CMAKE_DL_LIBS} Threads::Threads)

if(TN_NVRTC_LIBRARY AND NOT TN_SANITIZE AND NOT TN_FUZZ)
  add_executable(tn_compile_kernel EXCLUDE_FROM_ALL ${cuda}/compile_kernel.c ${cuda}/nvrtc.c ${cuda}/text.c)
  target_include_directories(tn_compile_kernel PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(tn_compile_kernel PRIVATE tn_base tn_flags ${CMAKE_DL_LIBS})
  set(cubins "")
  foreach(file ${files})
    foreach(architecture sm_80 sm_90a sm_100)
      set(stem ${CMAKE_CURRENT_BINARY_DIR}/cuda/${file}.${architecture})
      add_custom_command(OUTPUT ${stem}.cubin ${stem}.txt
        COMMAND tn_compile_kernel ${TN_NVRTC_LIBRARY} ${file}.cu ${architecture} ${stem}.cubin ${stem}.txt
        DEPENDS ${cuda}/kernels/${file}.cu ${headers} ${cuda}/nvrtc.c COMMENT "NVRTC ${file}.cu for ${architecture}" VERBATIM)
      list(APPEND cubins ${stem}.cubin)
    endforeach()
  endforeach()
  add_custom_target(cuda_cubins DEPENDS ${cubins})
  add_dependencies(suite_tests cuda_cubins)
  if(TN_CUDA_CUBINS)
    add_dependencies(tn_backend cuda_cubins)
    set_source_files_properties(${cuda}/cubins.c PROPERTIES OBJECT_DEPENDS "${cubins}"
      COMPILE_DEFINITIONS TN_CUDA_CUBIN_FOLDER="${CMAKE_CURRENT_BINARY_DIR}/cuda")
  endif()
endif()

if(TN_TESTS AND NOT TN_SANITIZE) # skips where nothing was compiled
  add_test(NAME cuda_kernel_report COMMAND ${PROJECT_SOURCE_DIR}/scripts/check_kernels.py ${PROJECT_BINARY_DIR})
  set_tests_properties(cuda_kernel_report PROPERTIES SKIP_RETURN_CODE 77 LABELS suite)
endif()
