# SPDX-License-Identifier: Apache-2.0
"""Text to token ids and back, and a model's chat template.

    tokenizer = Tokenizer("SmolLM2-135M-Instruct.gguf")
    ids = tokenizer.encode("Hello world")
    tokenizer.decode(ids)                                                    # "Hello world"
    tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}])       # ids
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, Optional, Sequence, Union

from ._ffi import Diag, check, encode, ffi, lib, owned
from ._record import Int32, ListOf


class Tokenizer:
    """Gives the ids that the model's own tokenizer gives. Never changes; may be shared between threads.

    ``path``: a GGUF file, a directory with a tokenizer.json or a tokenizer.bin, or such a file.
    Raises: NotFoundError, InvalidDataError, UnsupportedError (a part that Tenon does not know, by name).
    """

    def __init__(self, path: Union[str, os.PathLike]) -> None:
        diag = Diag()
        options = ffi.new("tn_tokenizer_options *")
        lib.tn_tokenizer_options_init(options)
        options.diag = diag.handle
        out = ffi.new("tn_tokenizer **")
        check(lib.tn_tokenizer_load(encode(path), options, out), diag)
        self.handle = owned(out[0], lib.tn_tokenizer_destroy)

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Writes the compiled form, which loads fastest."""
        diag = Diag()
        check(lib.tn_tokenizer_save(self.handle, encode(path), diag.handle), diag)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return int(lib.tn_tokenizer_vocab_size(self.handle))

    @staticmethod
    def _id(number: int) -> Optional[int]:
        return None if number < 0 else int(number)

    @property
    def bos_token_id(self) -> Optional[int]:
        return self._id(lib.tn_tokenizer_bos_id(self.handle))

    @property
    def eos_token_id(self) -> Optional[int]:
        return self._id(lib.tn_tokenizer_eos_id(self.handle))

    @property
    def pad_token_id(self) -> Optional[int]:
        return self._id(lib.tn_tokenizer_pad_id(self.handle))

    @property
    def end_token_ids(self) -> List[int]:
        """All ids that end an answer, the end id first."""
        out = ffi.new("int32_t **")
        count = lib.tn_tokenizer_end_ids(self.handle, out)
        return ffi.unpack(out[0], count) if count else []

    def is_special(self, id: int) -> bool:
        return bool(lib.tn_tokenizer_is_special(self.handle, id))

    def encode(self, text: str, add_special_tokens: bool = True, parse_special: bool = False) -> List[int]:
        """Ids of the text. ``add_special_tokens``: what the model wants around a text, such as the begin token. ``parse_special``: strings of
        special tokens in the text become these tokens; never for text from users."""
        data = text.encode("utf-8", "surrogatepass")
        diag = Diag()
        options = self._encode_options(diag, add_special_tokens, parse_special)
        out, count = ffi.new("int32_t **"), ffi.new("size_t *")
        check(lib.tn_tokenizer_encode(self.handle, data, len(data), options, out, count), diag)
        return self._take_ids(out, count)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of the ids; ids that no token has add nothing."""
        numbers = ListOf(Int32).accept(ids, "ids")
        diag = Diag()
        out, size = ffi.new("char **"), ffi.new("size_t *")
        check(lib.tn_tokenizer_decode(self.handle, numbers, len(numbers), skip_special_tokens, diag.handle, out, size), diag)
        try:
            return ffi.unpack(out[0], size[0]).decode("utf-8") if size[0] else ""
        finally:
            lib.tn_tokenizer_free(self.handle, out[0])

    def apply_chat_template(self, messages: Sequence[Dict[str, Any]], add_generation_prompt: Optional[bool] = None, tokenize: bool = True,
                            chat_template: Optional[str] = None, tools: Optional[Sequence[Dict[str, Any]]] = None,
                            continue_final_message: bool = False, **variables: Any) -> Union[List[int], str]:
        """Ids (or, without ``tokenize``, text) of a chat: ``[{"role": "user", "content": "Hi"}, …]``. Text of messages never becomes special
        tokens. The chat ends where an answer begins (``add_generation_prompt``, on by default) or, with ``continue_final_message``, behind
        the last message's text. ``tools`` are JSON schemas; further keywords are variables of the template.

        Raises: NotFoundError (the model has no template), UnsupportedError, InvalidArgumentError (the template refuses the chat).
        """
        diag = Diag()
        options = ffi.new("tn_chat_options *")
        lib.tn_chat_options_init(options)
        options.diag = diag.handle
        options.add_generation_prompt = not continue_final_message if add_generation_prompt is None else add_generation_prompt
        options.continue_final_message = continue_final_message
        texts = [ffi.new("char[]", json.dumps(list(messages)).encode()), ffi.new("char[]", json.dumps(variables).encode())]
        options.messages_json, options.variables_json = texts
        if tools is not None:
            texts.append(ffi.new("char[]", json.dumps(list(tools)).encode()))
            options.tools_json = texts[-1]
        if chat_template is not None:
            texts.append(ffi.new("char[]", encode(chat_template)))
            options.template_text = texts[-1]
        options.has_now, options.now_unix_s = True, int(time.time())
        out, count = ffi.new("tn_text_segment **"), ffi.new("size_t *")
        check(lib.tn_tokenizer_render_chat(self.handle, ffi.NULL, 0, options, out, count), diag)
        try:
            if not tokenize:
                return b"".join(ffi.unpack(out[0][i].text, out[0][i].size_bytes) for i in range(count[0])).decode("utf-8")
            ids, num_ids = ffi.new("int32_t **"), ffi.new("size_t *")
            encode_options = self._encode_options(diag, False, False)  # a template writes its own begin token
            check(lib.tn_tokenizer_encode_segments(self.handle, out[0], count[0], encode_options, ids, num_ids), diag)
            return self._take_ids(ids, num_ids)
        finally:
            lib.tn_tokenizer_free(self.handle, out[0])

    @property
    def chat_template(self) -> Optional[str]:
        """The model's own template (Jinja); None if it has none."""
        size = ffi.new("size_t *")
        text = lib.tn_tokenizer_chat_template(self.handle, size)
        return None if text == ffi.NULL else ffi.unpack(text, size[0]).decode("utf-8")

    @staticmethod
    def _encode_options(diag: Diag, add_special: bool, parse_special: bool) -> Any:
        options = ffi.new("tn_encode_options *")
        lib.tn_encode_options_init(options)
        options.diag, options.add_special, options.parse_special = diag.handle, add_special, parse_special
        return options

    def _take_ids(self, out: Any, count: Any) -> List[int]:
        try:
            return ffi.unpack(out[0], count[0]) if count[0] else []
        finally:
            lib.tn_tokenizer_free(self.handle, out[0])


class Detokenizer:
    """Text of ids that come one at a time: all that ``push`` and ``finish`` give, put together, is what ``Tokenizer.decode`` gives."""

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = True) -> None:
        self._diag = Diag()
        options = ffi.new("tn_detokenizer_options *")
        lib.tn_detokenizer_options_init(options)
        options.diag, options.skip_special = self._diag.handle, skip_special_tokens
        out = ffi.new("tn_detokenizer **")
        check(lib.tn_detokenizer_create(tokenizer.handle, options, out), self._diag)
        self._handle = owned(out[0], lib.tn_detokenizer_destroy, tokenizer, self._diag)
        self._text, self._size = ffi.new("char **"), ffi.new("size_t *")

    def push(self, id: int) -> str:
        """The text that this id completes, often none: whole code points only."""
        check(lib.tn_detokenizer_push(self._handle, id, self._text, self._size), self._diag)
        return ffi.unpack(self._text[0], self._size[0]).decode("utf-8") if self._size[0] else ""

    def finish(self) -> str:
        """What was held back; then it starts anew."""
        check(lib.tn_detokenizer_finish(self._handle, self._text, self._size), self._diag)
        return ffi.unpack(self._text[0], self._size[0]).decode("utf-8") if self._size[0] else ""
