# The umbrella library from all modules but the command line: libtenon.so and libtenon.a, tenon.pc, and what is installed.
include(GNUInstallDirs)

get_property(modules GLOBAL PROPERTY TN_MODULES)
list(REMOVE_ITEM modules tn_cli tn_server) # the server is the program's: a library shall not need HTTP and TLS
set(objects)
set(libraries)
foreach(module ${modules})
  list(APPEND objects $<TARGET_OBJECTS:${module}>)
  get_target_property(linked ${module} LINK_LIBRARIES)
  list(APPEND libraries ${linked})
endforeach()
list(FILTER libraries EXCLUDE REGEX "^tn_")
list(REMOVE_DUPLICATES libraries)

# Only what is marked TN_API leaves the shared library: everything is compiled with hidden visibility.
add_library(libtenon SHARED ${objects})
set_target_properties(libtenon PROPERTIES OUTPUT_NAME tenon LINKER_LANGUAGE C
  SOVERSION ${PROJECT_VERSION_MAJOR} VERSION ${PROJECT_VERSION} LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
target_link_libraries(libtenon PRIVATE ${libraries} tn_flags)
add_library(libtenon_static STATIC ${objects})
set_target_properties(libtenon_static PROPERTIES OUTPUT_NAME tenon LINKER_LANGUAGE C
  ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
target_link_libraries(libtenon_static PUBLIC ${libraries})
if(NOT TN_SANITIZE)
  target_link_options(libtenon PRIVATE -Wl,--no-undefined)
endif()

# tenon.pc finds its prefix from where it lies, so that an installed tree may be moved.
file(RELATIVE_PATH TN_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(${PROJECT_SOURCE_DIR}/cmake/tenon.pc.in ${PROJECT_BINARY_DIR}/tenon.pc @ONLY)
install(TARGETS libtenon libtenon_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/tenon DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_BINARY_DIR}/tenon.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(TARGET tenon)
  install(TARGETS tenon RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
