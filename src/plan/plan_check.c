/* SPDX-License-Identifier: Apache-2.0
 *
 * plan_check.c: checks functions, tensors, symbols and profiles of a plan.
 */
#include <inttypes.h>
#include <string.h>

#include "plan/plan_reader.h"
#include "plan/symbol_names.h"

/* Far above any real dimension, small enough that sums of a few do not overflow. */
#define MAX_DIM ((int64_t)1 << 48)
enum { MAX_IO = 1024, MAX_FUNCTIONS = 256, MAX_PROFILE_ROWS = MAX_IO * TN_MAX_RANK, MAX_VALUES = 64 };

const char *tn_plan_find_string(const tn_plan_reader *reader, uint32_t offset) {
    return offset < reader->strings_bytes ? reader->view->strings + offset : NULL;
}

static bool is_range(uint32_t first, uint32_t count, uint32_t total) {
    return first <= total && count <= total - first;
}

static bool is_name(const tn_plan_reader *reader, uint32_t offset) {
    const char *name = tn_plan_find_string(reader, offset);
    return name != NULL && name[0] != '\0';
}

/* --- tensors ------------------------------------------------------------------------------------------------------------ */

static bool is_io(const tn_plan_tensor *tensor) {
    return tensor->space == TN_SPACE_INPUT || tensor->space == TN_SPACE_OUTPUT;
}

static tn_status check_tensor_names(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_tensor *tensor = &reader->view->tensors[index];
    tn_plan_section_id section = TN_SECTION_TENSORS;
    if (!is_name(reader, tensor->name)) return tn_plan_fail_record(reader, section, index, "it has no name");
    if (tn_plan_find_string(reader, tensor->role) == NULL) return tn_plan_fail_record(reader, section, index, "its role is no string");
    const char *dtype = tn_plan_find_string(reader, tensor->dtype);
    if (dtype == NULL || tn_dtype_find(dtype) == TN_DTYPE_NONE)
        return tn_plan_fail_record(reader, section, index, "unknown element type '%s'", dtype != NULL ? dtype : "");
    if (is_io(tensor) && tn_dtype_get_info(tn_dtype_find(dtype))->bits == 0)
        return tn_plan_fail_record(reader, section, index, "an input or output of type %s", dtype);
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (tn_plan_find_string(reader, tensor->dim_names[i]) == NULL)
            return tn_plan_fail_record(reader, section, index, "the name of dimension %" PRIu32 " is no string", i);
    return TN_OK;
}

static tn_status check_tensor(const tn_plan_reader *reader, const tn_plan_function *function, uint32_t local) {
    uint32_t index = function->first_tensor + local;
    const tn_plan_tensor *tensor = &reader->view->tensors[index];
    tn_plan_section_id section = TN_SECTION_TENSORS;
    if (tensor->space != TN_SPACE_INPUT && tensor->space != TN_SPACE_OUTPUT && tensor->space != TN_SPACE_ACTIVATION &&
        tensor->space != TN_SPACE_HOST)
        return tn_plan_fail_record(reader, section, index, "unknown space %" PRIu32, tensor->space);
    if (tensor->place > 1) return tn_plan_fail_record(reader, section, index, "unknown place %" PRIu32, tensor->place);
    if (tensor->rank > TN_MAX_RANK)
        return tn_plan_fail_record(reader, section, index, "%" PRIu32 " dimensions, at most %d are allowed", tensor->rank, TN_MAX_RANK);
    if ((tensor->flags & ~(TN_TENSOR_DEBUG | TN_TENSOR_ITERATION)) != 0)
        return tn_plan_fail_record(reader, section, index, "unknown flags %#" PRIx32, tensor->flags);
    tn_status status = check_tensor_names(reader, index);
    if (status != TN_OK) return status;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (tensor->dims[i] >= function->num_symbols || tensor->max_dims[i] >= function->num_symbols)
            return tn_plan_fail_record(reader, section, index,
                                       "dimension %" PRIu32 " is symbol %" PRIu32 " or %" PRIu32 ", the function has %" PRIu32, i,
                                       tensor->dims[i], tensor->max_dims[i], function->num_symbols);
    uint32_t num_steps = function->num_steps;
    if (tensor->first_step > tensor->last_step || (num_steps > 0 && tensor->last_step >= num_steps))
        return tn_plan_fail_record(reader, section, index, "it lives from step %" PRIu32 " to %" PRIu32 ", the function has %" PRIu32,
                                   tensor->first_step, tensor->last_step, num_steps);
    if ((tensor->flags & TN_TENSOR_ITERATION) != 0) {
        const tn_plan_step *steps = reader->view->steps + function->first_step;
        bool is_counter = tensor->space == TN_SPACE_HOST && tensor->rank == 0 && num_steps > 0 &&
                          steps[tensor->first_step].kind == TN_STEP_LOOP &&
                          tn_dtype_find(reader->view->strings + tensor->dtype) == TN_INT64;
        if (!is_counter)
            return tn_plan_fail_record(reader, section, index, "the number of an iteration must be a host int64 scalar of a loop");
    }
    return TN_OK;
}

/* Bounded numbers keep pairwise comparison cheap. */
static tn_status check_io_names(const tn_plan_reader *reader, const tn_plan_function *function, uint32_t function_index) {
    const tn_plan_view *view = reader->view;
    const char *names[MAX_IO];
    uint32_t count = 0;
    for (uint32_t index = function->first_tensor; index < function->first_tensor + function->num_tensors; index++) {
        if (!is_io(&view->tensors[index])) continue;
        if (count == MAX_IO)
            return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, function_index, "more than %d inputs and outputs", MAX_IO);
        names[count] = view->strings + view->tensors[index].name;
        for (uint32_t other = 0; other < count; other++)
            if (strcmp(names[other], names[count]) == 0)
                return tn_plan_fail_record(reader, TN_SECTION_TENSORS, index, "two inputs or outputs are called '%s'", names[count]);
        count++;
    }
    return TN_OK;
}

/* --- symbols ------------------------------------------------------------------------------------------------------------ */

static tn_status check_leaf(const tn_plan_reader *reader, const tn_plan_function *function, uint32_t index, tn_sym_op op) {
    const tn_plan_symbol *symbol = &reader->view->symbols[index];
    if (symbol->a >= function->num_tensors)
        return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "tensor %" PRIu32 " of %" PRIu32, symbol->a, function->num_tensors);
    const tn_plan_tensor *tensor = &reader->view->tensors[function->first_tensor + symbol->a];
    if (op == TN_SYM_INPUT_DIM) {
        if (tensor->space != TN_SPACE_INPUT || symbol->b >= tensor->rank)
            return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "tensor %" PRIu32 " is no input with an axis %" PRIu32, symbol->a,
                                       symbol->b);
        return TN_OK;
    }
    const tn_dtype_info *dtype = tn_dtype_get_info(tn_dtype_find(reader->view->strings + tensor->dtype));
    bool is_on_host = tensor->space == TN_SPACE_HOST || (tensor->space == TN_SPACE_INPUT && tensor->place == 1);
    if (!is_on_host || (!dtype->is_integer && dtype != tn_dtype_get_info(TN_BOOL)) || dtype->bits < 8)
        return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "tensor %" PRIu32 " holds no integers on the host", symbol->a);
    return TN_OK;
}

static tn_status check_symbols(const tn_plan_reader *reader, const tn_plan_function *function, uint32_t function_index) {
    if (function->num_symbols == 0) return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, function_index, "it has no symbol 0");
    for (uint32_t local = 0; local < function->num_symbols; local++) {
        uint32_t index = function->first_symbol + local;
        const tn_plan_symbol *symbol = &reader->view->symbols[index];
        const char *name = tn_plan_find_string(reader, symbol->op);
        tn_sym_op op = name != NULL ? tn_sym_op_find(name) : TN_NUM_SYM_OPS;
        if (op == TN_NUM_SYM_OPS)
            return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "unknown operator '%s'", name != NULL ? name : "");
        if (local == 0 && (op != TN_SYM_CONST || symbol->value != 1))
            return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "symbol 0 must be the constant 1");
        const uint32_t operands[3] = {symbol->a, symbol->b, symbol->c};
        for (int i = 0; i < tn_sym_op_arity(op); i++)
            if (operands[i] >= local)
                return tn_plan_fail_record(reader, TN_SECTION_SYMBOLS, index, "operand %" PRIu32 " does not stand before it", operands[i]);
        tn_status status = op == TN_SYM_INPUT_DIM || op == TN_SYM_HOST_VALUE ? check_leaf(reader, function, index, op) : TN_OK;
        if (status != TN_OK) return status;
    }
    return TN_OK;
}

/* Memory is planned by max_dims before the function runs: they may not depend on what it computes. */
static tn_status check_max_dims(const tn_plan_reader *reader, const tn_plan_function *function) {
    const tn_plan_view *view = reader->view;
    bool *is_late = tn_alloc_array(reader->allocator, function->num_symbols, sizeof *is_late);
    if (is_late == NULL) return tn_fail_memory(reader->diag, "checking a plan", function->num_symbols);
    for (uint32_t i = 0; i < function->num_symbols; i++) {
        const tn_plan_symbol *symbol = &view->symbols[function->first_symbol + i];
        tn_sym_op op = tn_sym_op_find(view->strings + symbol->op);
        const uint32_t operands[3] = {symbol->a, symbol->b, symbol->c};
        if (op == TN_SYM_HOST_VALUE) is_late[i] = view->tensors[function->first_tensor + symbol->a].space != TN_SPACE_INPUT;
        for (int k = 0; k < tn_sym_op_arity(op); k++) is_late[i] = is_late[i] || is_late[operands[k]];
    }
    tn_status status = TN_OK;
    for (uint32_t i = 0; i < function->num_tensors && status == TN_OK; i++) {
        const tn_plan_tensor *tensor = &view->tensors[function->first_tensor + i];
        for (uint32_t k = 0; k < tensor->rank && status == TN_OK; k++)
            if (is_late[tensor->max_dims[k]])
                status = tn_plan_fail_record(reader, TN_SECTION_TENSORS, function->first_tensor + i,
                                             "the bound of dimension %" PRIu32 " is known only when the function runs", k);
    }
    tn_free(reader->allocator, is_late);
    return status;
}

/* --- profiles ------------------------------------------------------------------------------------------------------------- */

static tn_status check_profiles(const tn_plan_reader *reader, const tn_plan_function *function) {
    const tn_plan_profile *rows = reader->view->profiles + function->first_profile;
    for (uint32_t i = 0; i < function->num_profiles; i++) {
        const tn_plan_profile *row = &rows[i];
        uint32_t index = function->first_profile + i;
        if (row->tensor >= function->num_tensors)
            return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "tensor %" PRIu32 " of %" PRIu32, row->tensor,
                                       function->num_tensors);
        const tn_plan_tensor *tensor = &reader->view->tensors[function->first_tensor + row->tensor];
        bool is_value = row->axis >= TN_PROFILE_VALUES && row->axis < TN_PROFILE_VALUES + MAX_VALUES && tensor->place == 1;
        if (tensor->space != TN_SPACE_INPUT || (row->axis >= tensor->rank && !is_value) || row->reserved != 0)
            return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "tensor %" PRIu32 " is no input with an axis %" PRIu32,
                                       row->tensor, row->axis);
        if ((row->min < 0 && !is_value) || row->min > row->opt || row->opt > row->max || row->max > MAX_DIM)
            return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "the range %" PRId64 " ≤ %" PRId64 " ≤ %" PRId64 " is none",
                                       row->min, row->opt, row->max);
        /* rows come profile by profile, so that their number is bounded by that of the rows */
        uint32_t previous = i > 0 ? rows[i - 1].profile : 0;
        if (i == 0 ? row->profile != 0 : row->profile < previous || row->profile > previous + 1)
            return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "profile %" PRIu32 " follows profile %" PRIu32, row->profile,
                                       previous);
        if (i >= MAX_PROFILE_ROWS && rows[i - MAX_PROFILE_ROWS].profile == row->profile)
            return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "more than %d ranges in one profile", MAX_PROFILE_ROWS);
        for (uint32_t k = i; k-- > 0 && rows[k].profile == row->profile;)
            if (rows[k].tensor == row->tensor && rows[k].axis == row->axis)
                return tn_plan_fail_record(reader, TN_SECTION_PROFILES, index, "a dimension has two ranges");
    }
    return TN_OK;
}

/* --- functions ------------------------------------------------------------------------------------------------------------ */

static tn_status check_function_ranges(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_view *view = reader->view;
    const tn_plan_function *function = &view->functions[index];
    if (!is_name(reader, function->name)) return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, index, "it has no name");
    if (!is_range(function->first_tensor, function->num_tensors, view->num_tensors) ||
        !is_range(function->first_symbol, function->num_symbols, view->num_symbols) ||
        !is_range(function->first_step, function->num_steps, view->num_steps) ||
        !is_range(function->first_profile, function->num_profiles, view->num_profiles))
        return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, index, "its tensors, symbols, steps or profiles end beyond their tables");
    if (function->reserved != 0) return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, index, "a reserved member is not 0");
    for (uint32_t other = 0; other < index; other++)
        if (strcmp(view->strings + view->functions[other].name, view->strings + function->name) == 0)
            return tn_plan_fail_record(reader, TN_SECTION_FUNCTIONS, index, "two functions are called '%s'",
                                       view->strings + function->name);
    return TN_OK;
}

static tn_status check_function(const tn_plan_reader *reader, uint32_t index) {
    const tn_plan_function *function = &reader->view->functions[index];
    tn_status status = check_function_ranges(reader, index);
    for (uint32_t i = 0; i < function->num_tensors && status == TN_OK; i++) status = check_tensor(reader, function, i);
    if (status == TN_OK) status = check_io_names(reader, function, index);
    if (status == TN_OK) status = check_symbols(reader, function, index);
    if (status == TN_OK) status = check_max_dims(reader, function);
    if (status == TN_OK) status = check_profiles(reader, function);
    return status == TN_OK ? tn_plan_check_steps(reader, function) : status;
}

tn_status tn_plan_check_tables(const tn_plan_reader *reader) {
    tn_status status = tn_plan_check_states(reader);
    if (status == TN_OK) status = tn_plan_check_weights(reader);
    if (status == TN_OK && reader->view->num_functions == 0) status = tn_plan_fail(reader, sizeof(tn_plan_header), "it has no function");
    if (status == TN_OK && reader->view->num_functions > MAX_FUNCTIONS)
        status = tn_plan_fail(reader, reader->section_offset[TN_SECTION_FUNCTIONS], "%" PRIu32 " functions, at most %d are allowed",
                              reader->view->num_functions, MAX_FUNCTIONS);
    for (uint32_t i = 0; i < reader->view->num_functions && status == TN_OK; i++) status = check_function(reader, i);
    return status;
}
