#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Small tokenizers and what the libraries `tokenizers` and `sentencepiece` make of texts with them.

    tokenizer_parts.py         writes tests/golden/tokenizers/parts/NAME/{tokenizer.json|tokenizer.model, expected.json}
    tokenizer_parts.py --check compares Tenon (TN_LIBRARY, see tenon_tokenizer.py) with the libraries instead: every byte string of
                             up to two bytes, 10,000 random texts, random ids; needs some minutes

Made with tokenizers 0.23.3 and sentencepiece 0.2.3. Texts are trained and compared as bytes; `tokenizers` reads only UTF-8, so
bytes reach it decoded with errors="replace".
"""
import argparse
import json
import pathlib
import random
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "golden" / "tokenizers" / "parts"
CORPUS = ["The quick brown fox jumps over the lazy dog, and the dog does not mind.", "A plan holds functions made of steps, packed weights, "
          "a memory plan and recipes.", "There are 12 apples, 345 pears and 6789 plums; that's 7146 fruits!", "Grüße aus München: naïve café, déjà vu.",
          "Привет, мир! Как дела?", "東京都は日本の首都です。", "我喜欢吃苹果和香蕉。", "안녕하세요 세계", "مرحبا بالعالم", "x = foo(bar[3]) + 'baz'; // what's up?",
          "don't can't won't it's I'm we've you're they'll", "tokenizer tokenizers tokenization normalizing normalized"] * 4
TEXTS = ["", " ", "   ", "\n", "\t a\r\n b", "Hello, world!", " leading and trailing ", "two  spaces   three    four", "The quick brown fox.",
         "don't can't it's I'M WE'VE", "GRÜSSE Ünïcödé café cafe\u0301", "e\u0301e\u0300\u0323", "ﬁ ﬃ ① ½ Ａ１ ｶﾞ", "İstanbul ıI ẞß Σσς",
         "東京都は日本の首都です。", "我喜欢 apples", "안녕하세요 세계", "가각\u1100\u1161\u11a8", "مرحبا بالعالم", "नमस्ते दुनिया", "ไทยภาษา", "😀👍🏽👨‍👩‍👧 🇩🇪", "12 345 6789 0.5 ١٢٣ Ⅷ",
         "a|b||c", "foo_bar-baz.qux", "...!!!???", "$100 + 50% = <tag> ~`^", "\u200b\u200d\ufeff\u00ad", "a\u00a0b\u2003c\u3000d", "\x01\x02\x7f\x80".encode("latin1").decode("latin1"),
         "\ufffd", "▁a▁▁b ▁", "<s> a </s>", "<unk><pad>", "[CLS] word [SEP] [MASK]", "<mask>  x<mask>y <mask>", "a <Norm> b <norm>c NORM", "one<w>two <w> three", "<0x41><0x0A>",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababcabcabc" * 4, "supercalifragilisticexpialidocious" * 4, "tokenizers tokenization", "x=foo(bar[3])+'baz';",
         "line one\nline two\n\nline four", "\u2028\u2029\x0b\x0c\x85", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 🧪", "zzz qqq ЖЖЖ"]
BAD_BYTES = [b"\xff", b"a\xe4\xb8b", b"\xed\xa0\x80", b"\xc3", b"\xf0\x9f\x99 x", b"\x80\x81ok"]
SPECIAL = [AddedToken("<mask>", special=True, lstrip=True), AddedToken("<norm>", normalized=True), AddedToken("<w>", single_word=True, rstrip=True)]
RULES = "0041\t0061\n00DC\t0055 0065\n0065 0301\t00E9\nFB01\t0066 0069\n3000\t0020\n0009\t0020\n000A\t0020\n00AD\t\n1F44D 1F3FD\t1F44D\n"


def train(model, trainer, normalizer=None, pre_tokenizer=None, decoder=None, special=("<unk>", "<s>", "</s>", "<pad>"), size=200, added=True, **extra):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(CORPUS, trainer(vocab_size=size, special_tokens=list(special), show_progress=False, **extra))
    if added:
        tokenizer.add_tokens(SPECIAL)
    return tokenizer


def template(tokenizer, first="<s>", last="</s>"):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B {last}",
        special_tokens=[(first, tokenizer.token_to_id(first)), (last, tokenizer.token_to_id(last))])
    return tokenizer


def sentencepiece_model(**settings):
    with tempfile.TemporaryDirectory() as folder:
        rules, corpus = pathlib.Path(folder, "rules.tsv"), pathlib.Path(folder, "corpus.txt")
        rules.write_text(RULES)
        corpus.write_text("\n".join(CORPUS))
        settings = {"normalization_rule_tsv": str(rules), "character_coverage": 0.98, "minloglevel": 2, "hard_vocab_limit": False, **settings}
        sentencepiece.SentencePieceTrainer.train(input=str(corpus), model_prefix=folder + "/m", **settings)
        return pathlib.Path(folder, "m.model").read_bytes()


def small_charsmap():
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(sentencepiece_model(model_type="unigram", vocab_size=120))
    return proto.normalizer_spec.precompiled_charsmap


def with_bytes(vocab):
    return vocab + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]


def unigram_fallback():
    base = train(models.Unigram(), trainers.UnigramTrainer, pre_tokenizer=pre_tokenizers.Metaspace(), unk_token="<unk>", added=False)
    vocab = json.loads(base.to_str())["model"]["vocab"]
    tokenizer = Tokenizer(models.Unigram(with_bytes([tuple(entry) for entry in vocab]), 0, True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(small_charsmap()), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>", "<pad>"])
    tokenizer.add_tokens(SPECIAL)
    return template(tokenizer)


def splits():
    parts = [pre_tokenizers.Split("quick", "removed"), pre_tokenizers.Split(Regex("[,.!?]"), "merged_with_previous"),
             pre_tokenizers.Split(Regex("[$<(]"), "merged_with_next"), pre_tokenizers.Split(Regex("[\\w']+|\\s"), "isolated", invert=True),
             pre_tokenizers.Split(Regex("[aeiou]"), "contiguous"), pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(False),
             pre_tokenizers.FixedLength(6), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    return train(models.BPE(), trainers.BpeTrainer, normalizer=normalizers.NFC(), pre_tokenizer=pre_tokenizers.Sequence(parts),
                 decoder=decoders.ByteLevel(), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), size=340)


def ctc():
    vocab = {symbol: id for id, symbol in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", "'"] + [chr(c) for c in range(ord("a"), ord("z") + 1)])}
    tokenizer = Tokenizer(models.WordLevel(vocab, "<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "|")])
    tokenizer.pre_tokenizer = pre_tokenizers.FixedLength(1)
    tokenizer.decoder = decoders.CTC()
    tokenizer.add_special_tokens(["<pad>", "<s>", "</s>", "<unk>"])
    return tokenizer


def libraries():
    """NAME → a Tokenizer, or the bytes of a sentencepiece model."""
    bert = train(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer, normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(),
                 decoders.WordPiece(), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    bert.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    cased = train(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=20), trainers.WordPieceTrainer,
                  normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
                  pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_previous")]),
                  decoders.WordPiece("##", False))
    cased.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    words = train(models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer,
                  normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]),
                  pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(True), pre_tokenizers.CharDelimiterSplit("|")]))
    byte_normalizer = normalizers.Sequence([normalizers.Prepend("_"), normalizers.NFKC(), normalizers.ByteLevel()])
    return {
        "unigram": template(train(models.Unigram(), trainers.UnigramTrainer, normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]),
                                  pre_tokenizers.Metaspace(), decoders.Metaspace(), unk_token="<unk>")),
        "unigram-fallback": unigram_fallback(),
        "bert": bert,
        "wordpiece-cased": cased,
        "wordlevel": words,
        "ctc": ctc(),
        "bpe-suffix": train(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True), trainers.BpeTrainer, normalizers.NFD(),
                            pre_tokenizers.Whitespace(), decoders.BPEDecoder(), end_of_word_suffix="</w>"),
        "bpe-prefix": train(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), trainers.BpeTrainer, normalizers.Lowercase(),
                            pre_tokenizers.WhitespaceSplit(), decoders.WordPiece(), continuing_subword_prefix="##"),
        "bpe-byte-normalizer": train(models.BPE(), trainers.BpeTrainer, byte_normalizer, pre_tokenizers.Split(Regex("Ġ"), "merged_with_next"),
                                     decoders.ByteLevel(), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), size=320, added=False),
        "bpe-byte-middle": train(models.BPE(), trainers.BpeTrainer, None,
                                 pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Digits(True)]),
                                 decoders.ByteLevel(), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), size=320),
        "splits": splits(),
        "scripts": train(models.BPE(unk_token="<unk>"), trainers.BpeTrainer, None, pre_tokenizers.UnicodeScripts(), decoders.Fuse()),
        "sentencepiece-unigram": sentencepiece_model(model_type="unigram", vocab_size=160, control_symbols=["<ctl>"]),
        "sentencepiece-unigram-bytes": sentencepiece_model(model_type="unigram", vocab_size=420, byte_fallback=True, add_dummy_prefix=False,
                                                           user_defined_symbols=["<mask>", "ing"]),
        "sentencepiece-bpe": sentencepiece_model(model_type="bpe", vocab_size=160, treat_whitespace_as_suffix=True),
        "sentencepiece-bpe-bytes": sentencepiece_model(model_type="bpe", vocab_size=420, byte_fallback=True, remove_extra_whitespaces=False,
                                                       user_defined_symbols=["<mask>", "▁▁", "ing"], control_symbols=["<ctl>"]),
    }


class Oracle:
    """One face for both libraries; texts and what is decoded are bytes."""

    def __init__(self, source):
        self.is_model = isinstance(source, bytes)
        self.source = sentencepiece.SentencePieceProcessor(model_proto=source) if self.is_model else source

    def encode(self, data, add_special):
        if self.is_model:
            return self.source.encode(data)
        return self.source.encode(data.decode(errors="replace"), add_special_tokens=add_special).ids

    def decode(self, ids, skip_special):
        if self.is_model:
            return self.source.decode(ids).encode()
        return self.source.decode(ids, skip_special_tokens=skip_special).encode()

    def size(self):
        return self.source.get_piece_size() if self.is_model else self.source.get_vocab_size()


def write_golden(name, source):
    folder, oracle = FOLDER / name, Oracle(source)
    folder.mkdir(parents=True, exist_ok=True)
    if oracle.is_model:
        (folder / "tokenizer.model").write_bytes(source)
    else:
        (folder / "tokenizer.json").write_text(json.dumps(json.loads(source.to_str()), ensure_ascii=False, separators=(",", ":")))
    cases = []
    for data in [text.encode() for text in TEXTS] + BAD_BYTES:
        ids = oracle.encode(data, False)
        cases.append({"hex": data.hex(), "ids": ids, "ids_with_special": oracle.encode(data, True), "decoded": oracle.decode(ids, False).hex(),
                      "decoded_skip_special": oracle.decode(ids, True).hex()})
    (folder / "expected.json").write_text("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "]\n")


def texts(random_source):
    for first in range(256):
        yield bytes([first])
        yield from (bytes([first, second]) for second in range(256))
    pieces = [text[i:i + 3] for text in TEXTS + CORPUS[:12] for i in range(0, len(text), 3)] + ["<mask>", "<norm>", "<w>", " ", "  ", "▁"]
    for i in range(10000):
        if i % 2:
            yield "".join(random_source.choice(pieces) for _ in range(random_source.randrange(12))).encode()
        else:
            yield bytes(random_source.randrange(256) for _ in range(random_source.randrange(24)))
    yield from (text.encode() for text in TEXTS + CORPUS[:12])


def check(name, source):
    from tenon_tokenizer import Tokenizer as Tenon
    oracle, random_source, wrong = Oracle(source), random.Random(7), {"ids": 0, "text": 0}
    with tempfile.NamedTemporaryFile(suffix=".model" if oracle.is_model else ".json") as file:
        file.write(source if oracle.is_model else source.to_str().encode())
        file.flush()
        tenon = Tenon(file.name)

    def compare(kind, shown, expected, got):
        if expected == got:
            return
        wrong[kind] += 1
        if wrong[kind] <= 3:
            print(f"{name}: {kind} of {shown!r}\n  expected {expected}\n  got      {got}")

    newer = set("\u0560\u0588\u05ef\u061d\u07fd\u07fe\u07ff\U0001f9ea") if name == "scripts" else set()  # than that library's table of scripts
    count = 0
    for data in texts(random_source):
        if newer & set(data.decode(errors="replace")):
            continue
        add_special = count % 2 == 0
        ids = oracle.encode(data, add_special)
        compare("ids", data, ids, tenon.encode(data, add_special and not oracle.is_model, not oracle.is_model))
        compare("text", ids, oracle.decode(ids, add_special), tenon.decode(ids, add_special or oracle.is_model))
        count += 1
    for _ in range(3000):
        ids = [random_source.randrange(oracle.size()) for _ in range(random_source.randrange(10))]
        compare("text", ids, oracle.decode(ids, True), tenon.decode(ids, True))
    for id in range(len(tenon)):
        if tenon.is_special(id) and any(tenon.is_special(i) and i != oracle_unknown(oracle) for i in tenon.encode(tenon.piece(id))):
            wrong["ids"] += 1
            print(f"{name}: the text {tenon.piece(id)!r} gives a control token")
    print(f"{'FAILED' if any(wrong.values()) else 'ok    '} {name}: {count} texts, {wrong['ids']} other ids, {wrong['text']} other texts", flush=True)
    return not any(wrong.values())


def oracle_unknown(oracle):
    if oracle.is_model:
        return oracle.source.unk_id()
    model = json.loads(oracle.source.to_str())["model"]
    return model["unk_id"] if "unk_id" in model else oracle.source.token_to_id(model.get("unk_token") or "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    good = True
    for name, source in libraries().items():
        if args.names and name not in args.names:
            continue
        if args.check:
            good = check(name, source) and good
        else:
            write_golden(name, source)
    raise SystemExit(0 if good else 1)


main()
