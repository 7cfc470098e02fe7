# One module = one folder under src/ = one static library tn_<name>. Its sources are the folder's *.c files, except:
#   foo_test.c   a cmocka test program <module>_foo_test, registered with CTest
#   foo_fuzz.c   a libFuzzer target <module>_foo_fuzz, built only with TN_FUZZ
#   foo_bench.c  a benchmark program <module>_foo_bench, built by the target `benches`
# DEPENDS names the modules it may include; TEST_DEPENDS what only its tests, fuzzers and benchmarks link (test_support =
# tests/support: the failing allocator; tests only); scripts/check_includes.py holds the arrows. LIBS names third-party libraries.
#
# `make check` builds the target unit_tests and runs the tests with the label "unit": those of src/. Programs made by
# tn_test_program elsewhere (tests/e2e) have the label "suite" and run with `make test`. Tests of code that shares memory
# between threads also belong to the target threaded_tests and have the label "threads": `make test-sanitize` runs them with TSan.
set(TN_THREADED "^(base|runtime|executor|server|e2e_executor)_|thread|pool")
set(TN_LONG "^(backend_conformance|e2e_smollm2|e2e_golden_ref)_test$") # begin first, so that none runs alone at the end
add_custom_target(unit_tests)
add_custom_target(suite_tests)
add_custom_target(threaded_tests)
add_custom_target(fuzzers)
add_custom_target(benches)

function(tn_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LIBS;TEST_DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  set(tests ${sources})
  set(fuzzers ${sources})
  set(benchmarks ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|bench)\\.c$")
  list(FILTER tests INCLUDE REGEX "_test\\.c$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.c$")
  list(FILTER benchmarks INCLUDE REGEX "_bench\\.c$")
  list(TRANSFORM arg_DEPENDS PREPEND tn_)
  list(TRANSFORM arg_TEST_DEPENDS PREPEND tn_)
  set(bench_depends ${arg_TEST_DEPENDS})
  list(REMOVE_ITEM bench_depends tn_test_support) # exists only with TN_TESTS

  if(sources)
    add_library(tn_${name} STATIC ${sources})
    target_include_directories(tn_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(tn_${name} PUBLIC ${arg_DEPENDS} ${arg_LIBS} m PRIVATE tn_flags)
    set_property(GLOBAL APPEND PROPERTY TN_MODULES tn_${name})
    if(TN_FUZZ AND fuzzers) # what fuzzers look at tells them where they have been; kernels need not
      target_compile_options(tn_${name} PRIVATE -fsanitize=fuzzer-no-link)
    endif()
  else()
    add_library(tn_${name} INTERFACE)
    target_include_directories(tn_${name} INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(tn_${name} INTERFACE ${arg_DEPENDS} ${arg_LIBS})
  endif()

  if(TN_TESTS)
    foreach(test ${tests})
      get_filename_component(stem ${test} NAME_WE)
      tn_test_program(${name}_${stem} ${test} tn_${name} ${arg_TEST_DEPENDS})
    endforeach()
  endif()
  foreach(bench ${benchmarks})
    get_filename_component(stem ${bench} NAME_WE)
    add_executable(${name}_${stem} EXCLUDE_FROM_ALL ${bench})
    target_link_libraries(${name}_${stem} PRIVATE tn_${name} ${bench_depends} tn_flags)
    add_dependencies(benches ${name}_${stem})
  endforeach()
  if(TN_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(stem ${fuzzer} NAME_WE)
      add_executable(${name}_${stem} EXCLUDE_FROM_ALL ${fuzzer})
      target_link_libraries(${name}_${stem} PRIVATE tn_${name} ${bench_depends} tn_flags)
      target_link_options(${name}_${stem} PRIVATE -fsanitize=fuzzer)
      set_property(GLOBAL APPEND PROPERTY TN_FUZZERS ${name}_${stem})
      add_dependencies(fuzzers ${name}_${stem})
    endforeach()
  endif()
endfunction()

# A cmocka program; further arguments are libraries. TN_TEST_DATA is the folder tests/golden.
function(tn_test_program target source)
  add_executable(${target} ${source})
  target_link_libraries(${target} PRIVATE ${ARGN} tn_flags PkgConfig::CMOCKA)
  target_compile_definitions(${target} PRIVATE TN_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/golden")
  add_test(NAME ${target} COMMAND ${target})
  set(kind suite)
  if(source MATCHES "^${PROJECT_SOURCE_DIR}/src/")
    set(kind unit)
  endif()
  set(labels ${kind})
  add_dependencies(${kind}_tests ${target})
  if(target MATCHES "${TN_THREADED}")
    list(APPEND labels threads)
    add_dependencies(threaded_tests ${target})
  endif()
  if(target MATCHES "${TN_LONG}")
    set_tests_properties(${target} PROPERTIES COST 1000)
  endif()
  set_tests_properties(${target} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300 LABELS "${labels}")
endfunction()
