# SPDX-License-Identifier: Apache-2.0
"""The version of the package, equal to that of the library it was made for."""

__version__ = "0.1.0"
