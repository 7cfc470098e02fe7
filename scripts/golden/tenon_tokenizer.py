# SPDX-License-Identifier: Apache-2.0
"""Tenon's tokenizer for the scripts that compare it with others: libtenon.so through ctypes.

TN_LIBRARY names the library; without it build/lib/libtenon.so is used.
"""
import ctypes
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
_library = ctypes.CDLL(os.environ.get("TN_LIBRARY", str(ROOT / "build" / "lib" / "libtenon.so")))
_void, _size = ctypes.c_void_p, ctypes.c_size_t
_ids = ctypes.POINTER(ctypes.c_int32)


class _EncodeOptions(ctypes.Structure):
    _fields_ = [("struct_size", _size), ("diag", _void), ("add_special", ctypes.c_bool), ("parse_special", ctypes.c_bool)]


_library.tn_tokenizer_load.argtypes = [ctypes.c_char_p, _void, ctypes.POINTER(_void)]
_library.tn_tokenizer_encode.argtypes = [_void, ctypes.c_char_p, _size, ctypes.POINTER(_EncodeOptions), ctypes.POINTER(_ids),
                                         ctypes.POINTER(_size)]
_library.tn_tokenizer_decode.argtypes = [_void, _ids, _size, ctypes.c_bool, _void, ctypes.POINTER(_void), ctypes.POINTER(_size)]
_library.tn_tokenizer_free.argtypes = [_void, _void]
_library.tn_tokenizer_destroy.argtypes = [_void]
_library.tn_tokenizer_vocab_size.argtypes = [_void]
_library.tn_tokenizer_vocab_size.restype = _size
_library.tn_tokenizer_is_special.argtypes = [_void, ctypes.c_int32]
_library.tn_tokenizer_is_special.restype = ctypes.c_bool
_library.tn_tokenizer_piece.argtypes = [_void, ctypes.c_int32, ctypes.POINTER(_size)]
_library.tn_tokenizer_piece.restype = _void
_library.tn_tokenizer_save.argtypes = [_void, ctypes.c_char_p, _void]


class Tokenizer:
    """Loads what tn_tokenizer_load loads. Errors are written to stderr by the library and raised as RuntimeError."""

    def __init__(self, path):
        self._handle = _void()
        if _library.tn_tokenizer_load(os.fsencode(path), None, ctypes.byref(self._handle)) != 0:
            raise RuntimeError(f"cannot load {path}")

    def __del__(self):
        if self._handle:
            _library.tn_tokenizer_destroy(self._handle)

    def encode(self, text, add_special=False, parse_special=False):
        data = text if isinstance(text, bytes) else text.encode()
        options = _EncodeOptions(ctypes.sizeof(_EncodeOptions), None, add_special, parse_special)
        ids, count = _ids(), _size()
        if _library.tn_tokenizer_encode(self._handle, data, len(data), ctypes.byref(options), ctypes.byref(ids), ctypes.byref(count)) != 0:
            raise RuntimeError("cannot encode")
        result = ids[:count.value]
        _library.tn_tokenizer_free(self._handle, ids)
        return result

    def decode(self, ids, skip_special=True):
        """The text's bytes."""
        text, size = _void(), _size()
        array = (ctypes.c_int32 * max(len(ids), 1))(*ids)
        if _library.tn_tokenizer_decode(self._handle, array, len(ids), skip_special, None, ctypes.byref(text), ctypes.byref(size)) != 0:
            raise RuntimeError("cannot decode")
        result = ctypes.string_at(text, size.value)
        _library.tn_tokenizer_free(self._handle, text)
        return result

    def __len__(self):
        return _library.tn_tokenizer_vocab_size(self._handle)

    def is_special(self, id):
        return _library.tn_tokenizer_is_special(self._handle, id)

    def piece(self, id):
        """The token's bytes, or None for an unused id."""
        size = _size()
        data = _library.tn_tokenizer_piece(self._handle, id, ctypes.byref(size))
        return ctypes.string_at(data, size.value) if data else None

    def save(self, path):
        if _library.tn_tokenizer_save(self._handle, os.fsencode(path), None) != 0:
            raise RuntimeError(f"cannot save {path}")
