/* SPDX-License-Identifier: Apache-2.0
 *
 * sentencepiece.c: see sentencepiece.h. protobuf-c reads the message; its unpacker checks sizes and keeps what it does not know.
 */
#include "format/sentencepiece.h"

#include <sentencepiece.pb-c.h>
#include <string.h>

#include "base/memory.h"

/* What protobuf-c allocates through. It tells no reason for a NULL, so this one remembers. */
typedef struct unpack_memory {
    const tn_allocator *allocator;
    bool has_failed;
} unpack_memory;

static void *unpack_alloc(void *user, size_t size) {
    unpack_memory *memory = user;
    void *block = tn_alloc(memory->allocator, size);
    memory->has_failed |= block == NULL;
    return block;
}

static void unpack_free(void *user, void *block) {
    tn_free(((unpack_memory *)user)->allocator, block);
}

static void release(tn_sentencepiece *model) {
    unpack_memory memory = {.allocator = model->allocator};
    ProtobufCAllocator allocator = {unpack_alloc, unpack_free, &memory};
    if (model->message) tn_sentencepiece_model__free_unpacked(model->message, &allocator);
}

static tn_sentencepiece_bytes lend(protobuf_c_boolean is_there, ProtobufCBinaryData bytes, const char *fallback) {
    if (!is_there) return (tn_sentencepiece_bytes){fallback, strlen(fallback)};
    return (tn_sentencepiece_bytes){bytes.len ? (const char *)bytes.data : "", bytes.len};
}

static void read_settings(tn_sentencepiece *model, const TnSentencepieceModel *message) {
    static const TnSentencepieceModel__Trainer default_trainer = TN_SENTENCEPIECE_MODEL__TRAINER__INIT;
    static const TnSentencepieceModel__Normalizer default_normalizer = TN_SENTENCEPIECE_MODEL__NORMALIZER__INIT;
    const TnSentencepieceModel__Trainer *trainer = message->trainer_spec ? message->trainer_spec : &default_trainer;
    const TnSentencepieceModel__Normalizer *normalizer = message->normalizer_spec ? message->normalizer_spec : &default_normalizer;
    model->model_type = trainer->model_type;
    model->has_byte_fallback = trainer->byte_fallback != 0;
    model->space_is_suffix = trainer->treat_whitespace_as_suffix != 0;
    model->unk_surface = lend(trainer->has_unk_surface, trainer->unk_surface, " \xE2\x81\x87 ");
    model->bos_piece = lend(trainer->has_bos_piece, trainer->bos_piece, "<s>");
    model->eos_piece = lend(trainer->has_eos_piece, trainer->eos_piece, "</s>");
    model->pad_piece = lend(trainer->has_pad_piece, trainer->pad_piece, "<pad>");
    model->adds_dummy_prefix = normalizer->add_dummy_prefix != 0;
    model->removes_extra_spaces = normalizer->remove_extra_whitespaces != 0;
    model->escapes_spaces = normalizer->escape_whitespaces != 0;
    model->charsmap = lend(normalizer->has_precompiled_charsmap, normalizer->precompiled_charsmap, "");
    model->has_denormalizer = message->denormalizer_spec && message->denormalizer_spec->precompiled_charsmap.len > 0;
}

tn_status tn_sentencepiece_parse(const char *name, const void *data, size_t size_bytes, const tn_allocator *allocator, tn_diag *diag,
                                 tn_sentencepiece **out_model) {
    *out_model = NULL;
    tn_sentencepiece *model = tn_alloc_zero(allocator, sizeof *model);
    if (!model) return tn_fail_memory(diag, "a sentencepiece model", sizeof *model);
    model->allocator = allocator;
    unpack_memory memory = {.allocator = allocator};
    ProtobufCAllocator unpacker = {unpack_alloc, unpack_free, &memory};
    TnSentencepieceModel *message = tn_sentencepiece_model__unpack(&unpacker, size_bytes, data);
    if (!message) {
        tn_sentencepiece_destroy(model);
        if (memory.has_failed) return tn_fail_memory(diag, "a sentencepiece model", size_bytes);
        return tn_fail(diag, TN_INVALID_DATA, "cannot read %s: it is not a sentencepiece model, or damaged", name);
    }
    model->message = message;
    model->num_pieces = message->n_pieces;
    model->pieces = tn_alloc_array(allocator, message->n_pieces, sizeof *model->pieces);
    if (!model->pieces) {
        tn_sentencepiece_destroy(model);
        return tn_fail_memory(diag, "a sentencepiece model", size_bytes);
    }
    for (size_t i = 0; i < model->num_pieces; i++) {
        const TnSentencepieceModel__Piece *piece = message->pieces[i];
        model->pieces[i] = (tn_sentencepiece_piece){lend(piece->has_piece, piece->piece, ""), piece->score, piece->type};
    }
    read_settings(model, message);
    *out_model = model;
    return TN_OK;
}

void tn_sentencepiece_destroy(tn_sentencepiece *model) {
    if (!model) return;
    release(model);
    tn_free(model->allocator, model->pieces);
    tn_free(model->allocator, model);
}
