# SPDX-License-Identifier: Apache-2.0
#
# llamacpp.py: the rival of the programs beside it: the llama.cpp inside llama-cpp-python 0.3.36, built Release with native flags in the
# cache folder (once; it takes minutes and needs g++ besides Tenon's own packages). Speed and accuracy are measured on the same build.
import contextlib
import os
import pathlib
import shutil
import sys
import tempfile

from machine import ROOT, fail, run, say

VERSION = "0.3.36"


def folder_of(cache):
    return cache / f"llama-cpp-python-{VERSION}"


@contextlib.contextmanager
def built(cache, targets):
    """(source folder, build folder) with the targets built; both are gone afterwards."""
    if not shutil.which("g++"):
        fail("llama.cpp needs a C++ compiler: apt-get install --no-install-recommends g++")
    folder_of(cache).mkdir(parents=True, exist_ok=True)
    say(f"building {', '.join(targets)} of llama-cpp-python {VERSION} for {folder_of(cache)} (minutes, once; the machine should be quiet)")
    with tempfile.TemporaryDirectory(dir=cache) as work:
        run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", work,
             f"llama-cpp-python=={VERSION}"])
        run(["tar", "-xf", next(pathlib.Path(work).glob("llama_cpp_python-*.tar.gz")), "-C", work])
        source = next(pathlib.Path(work).glob("llama_cpp_python-*/vendor/llama.cpp"))
        build = pathlib.Path(work) / "build"
        run(["cmake", "-S", source, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON",
             "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF",
             "-DLLAMA_BUILD_SERVER=OFF", "-DLLAMA_BUILD_TOOLS=ON"])
        run(["nice", "-n", "10", "ninja", "-C", build, *targets])
        yield source, build


def build_programs(cache):
    """The folder of llama-bench and llama-batched-bench, built there if they are not."""
    programs, names = folder_of(cache) / "bin", ["llama-bench", "llama-batched-bench"]
    if not all((programs / name).exists() for name in names):
        with built(cache, names) as (_, build):
            shutil.rmtree(programs, ignore_errors=True)
            shutil.move(build / "bin", programs)
    return programs


def build_library(cache):
    """The folder with include/ and lib/*.a, built there if they are not."""
    folder = folder_of(cache)
    if not (folder / "lib").exists():
        with built(cache, ["llama"]) as (source, build), tempfile.TemporaryDirectory(dir=folder) as new:
            for name, files in (("include", [*source.glob("include/*.h"), *source.glob("ggml/include/*.h")]), ("lib", build.rglob("*.a"))):
                os.mkdir(f"{new}/{name}")
                for file in files:
                    shutil.copy(file, f"{new}/{name}")
                shutil.rmtree(folder / name, ignore_errors=True)
                os.rename(f"{new}/{name}", folder / name)  # lib last: its being there says that both are whole
    return folder


def build_logits(cache):
    """The program of llamacpp_logits.c."""
    source, program = ROOT / "bench/llamacpp_logits.c", folder_of(cache) / "llamacpp_logits"
    library = build_library(cache)
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        run(["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-I", library / "include", source, "-o", program, "-Wl,--start-group",
             *sorted(library.glob("lib/*.a")), "-Wl,--end-group", "-fopenmp", "-lstdc++", "-lm", "-ldl", "-pthread"])
    return program
