# SPDX-License-Identifier: Apache-2.0
#
# setup.py: what pyproject.toml cannot say: the package holds libtenon.so and a module made from the public headers. The library is
# built by CMake (Release; CMAKE_ARGS adds options) from the source tree around this folder, or taken from
# TENON_LIBRARY=/path/libtenon.so.
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

try:
    from wheel.bdist_wheel import bdist_wheel
except ImportError:  # setuptools 70.1 has its own
    from setuptools.command.bdist_wheel import bdist_wheel


def build_library(folder):
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DTN_TESTS=OFF", *shlex.split(os.environ.get("CMAKE_ARGS", ""))]
    subprocess.run(["cmake", "-S", str(ROOT), "-B", str(folder), *generator, *options], check=True)
    subprocess.run(["cmake", "--build", str(folder), "--target", "libtenon", "--parallel", str(len(os.sched_getaffinity(0)))], check=True)
    return folder / "lib" / "libtenon.so"


class BuildPackage(build_py):
    def run(self):
        super().run()
        if not (ROOT / "include" / "tenon" / "executor.h").is_file():
            sys.exit("tenon: the package is built inside its source tree: pip install ./bindings/python")
        package = pathlib.Path(self.build_lib, "tenon")
        from generate_api import generate

        generate(ROOT / "include", package / "_api.py")
        given = os.environ.get("TENON_LIBRARY")
        if given and not os.path.isfile(given):
            sys.exit(f"tenon: TENON_LIBRARY is '{given}', there is no such file")
        library = given or build_library(pathlib.Path(self.get_finalized_command("build").build_base).resolve() / "cmake")
        shutil.copyfile(os.path.realpath(library), package / "libtenon.so")


class PlatformWheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return ("py3", "none", super().get_tag()[2])  # any Python 3, this platform: the library knows nothing of Python


class PlatformDistribution(Distribution):
    def has_ext_modules(self):
        return True


setup(cmdclass={"build_py": BuildPackage, "bdist_wheel": PlatformWheel}, distclass=PlatformDistribution)
