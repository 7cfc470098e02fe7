/* SPDX-License-Identifier: Apache-2.0
 *
 * plugin_test.c: plugins from their class to a run of a loaded plan: in process and from a library, on each backend of the host;
 * and every way of getting them wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/fault_allocator.h"
#include "support/plugin_classes.h"
#include "tenon/builder.h"
#include "tenon/context.h"
#include "tenon/layer.h"
#include "tenon/plugin.h"

static const tn_plugin_class affine_class = AFFINE_CLASS("mine");
static const tn_plugin_class tile_class = TILE_CLASS;

typedef struct fixture {
    tn_diag *diag;
    tn_plugin_registry *registry;
    tn_device *device;
    tn_network *net;
    tn_builder *builder;
    tn_builder_config *config;
} fixture;

static void start(fixture *f, const char *backend, bool async) {
    tn_plugin_registry_options registry_options;
    tn_device_options device_options;
    tn_network_options network_options;
    tn_builder_options builder_options;
    assert_int_equal(tn_diag_create(NULL, &f->diag), TN_OK);
    tn_plugin_registry_options_init(&registry_options);
    tn_device_options_init(&device_options);
    tn_network_options_init(&network_options);
    tn_builder_options_init(&builder_options);
    registry_options.diag = device_options.diag = network_options.diag = builder_options.diag = f->diag;
    device_options.async = async;
    device_options.num_threads = 1;
    assert_int_equal(tn_plugin_registry_create(&registry_options, &f->registry), TN_OK);
    assert_int_equal(tn_device_create(backend, &device_options, &f->device), TN_OK);
    assert_int_equal(tn_network_create(&network_options, &f->net), TN_OK);
    builder_options.device = f->device;
    assert_int_equal(tn_builder_create(&builder_options, &f->builder), TN_OK);
    assert_int_equal(tn_builder_config_create(f->builder, &f->config), TN_OK);
    tn_builder_config_set_optimization_level(f->config, 0);
}

static void finish(fixture *f) {
    tn_builder_config_destroy(f->config);
    tn_builder_destroy(f->builder);
    tn_network_destroy(f->net);
    tn_device_destroy(f->device);
    tn_plugin_registry_destroy(f->registry);
    tn_diag_destroy(f->diag);
}

static int setup(void **state) {
    static fixture f;
    start(&f, "ref", false);
    *state = &f;
    return 0;
}
static int teardown(void **state) {
    finish(*state);
    return 0;
}

static bool says(const fixture *f, const char *part) {
    tn_diag_entry entry;
    for (size_t i = 0; tn_diag_get(f->diag, i, &entry) == TN_OK; i++)
        if (strstr(entry.message, part) != NULL) return true;
    return false;
}

#define assert_says(f, part)                                                                                               \
    do {                                                                                                                   \
        tn_diag_entry entry_ = {.message = ""};                                                                            \
        if (tn_diag_num_entries((f)->diag) > 0) (void)tn_diag_get((f)->diag, tn_diag_num_entries((f)->diag) - 1, &entry_); \
        if (!says((f), (part))) fail_msg("'%s' is not said, but: %s", (part), entry_.message);                             \
    } while (0)

static tn_plugin *make_affine(fixture *f, const char *name_space, double factor, double offset) {
    const tn_parameter fields[] = {{.name = "factor", .type = TN_PARAMETER_REAL, .real = factor},
                                   {.name = "offset", .type = TN_PARAMETER_REAL, .real = offset}};
    tn_plugin *plugin;
    if (tn_plugin_create(f->registry, name_space, "Affine", NULL, fields, 2, &plugin) != TN_OK) assert_says(f, "nothing");
    return plugin;
}

/* y = relu(2 · (x + x) − 1) with the middle as a plugin; x [-1, 3]. */
static tn_plan *build_affine(fixture *f, const char *name_space) {
    tn_plugin *plugin = make_affine(f, name_space, 2.0, -1.0);
    tn_tensor *x = tn_network_add_input(f->net, "x", TN_FLOAT32, TN_DIMS(-1, 3));
    tn_tensor *sum = tn_layer_output(tn_network_add_elementwise(f->net, x, x, TN_ELEMENTWISE_SUM), 0);
    tn_layer *layer = tn_network_add_plugin(f->net, &sum, 1, NULL, 0, plugin);
    tn_layer_set_name(layer, "scale and shift");
    tn_tensor *y = tn_layer_output(tn_network_add_activation(f->net, tn_layer_output(layer, 0), TN_ACTIVATION_RELU), 0);
    tn_network_mark_output(f->net, y, "y");
    assert_ptr_equal(tn_layer_plugin(layer), plugin);
    assert_string_equal(tn_layer_kind(layer), "plugin");
    tn_plugin_destroy(plugin);
    tn_profile_set_dims(tn_builder_config_add_profile(f->config), "x", TN_DIMS(1, 3), TN_DIMS(2, 3), TN_DIMS(4, 3));
    tn_plan *plan;
    if (tn_builder_build(f->builder, f->net, f->config, &plan) != TN_OK) assert_says(f, "nothing");
    return plan;
}

static tn_status load(fixture *f, tn_plan *plan, tn_plugin_registry *registry, tn_engine **out_engine) {
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.diag = f->diag;
    options.device = f->device;
    options.plugins = registry;
    return tn_engine_create(plan, &options, out_engine);
}

static tn_status run(fixture *f, tn_engine *engine, int64_t rows, float *x, float *y) {
    tn_context_options options;
    tn_context *context;
    tn_context_options_init(&options);
    options.diag = f->diag;
    assert_int_equal(tn_context_create(engine, &options, &context), TN_OK);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(rows, 3)), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "x", x), TN_OK);
    assert_int_equal(tn_context_set_host_address(context, "y", y), TN_OK);
    tn_status status = tn_context_enqueue(context, NULL);
    tn_context_destroy(context);
    return status;
}

static void check_affine(fixture *f, tn_engine *engine) {
    float x[12] = {0.0f, 0.25f, 1.0f, -1.0f, 2.0f, 3.0f}, y[12];
    for (int64_t rows = 1; rows <= 4; rows++) {
        if (run(f, engine, rows, x, y) != TN_OK) assert_says(f, "nothing");
        for (int i = 0; i < rows * 3; i++) {
            float expected = 4.0f * x[i] - 1.0f;
            assert_true(y[i] == (expected > 0.0f ? expected : 0.0f));
        }
    }
}

static void a_plugin_in_process_runs_on_every_backend_of_the_host(void **state) {
    (void)state;
    static const struct {
        const char *backend;
        bool async;
    } targets[] = {{"ref", false}, {"ref", true}, {"cpu", false}};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        fixture f;
        tn_engine *engine;
        start(&f, targets[i].backend, targets[i].async);
        assert_int_equal(tn_plugin_registry_add(f.registry, &affine_class), TN_OK);
        tn_plan *plan = build_affine(&f, "mine");
        if (load(&f, plan, f.registry, &engine) != TN_OK) assert_says(&f, "nothing");
        check_affine(&f, engine);
        tn_engine_destroy(engine);
        tn_plan_destroy(plan);
        finish(&f);
    }
}

static void a_plugin_of_a_library_runs_from_a_saved_plan(void **state) {
    fixture *f = *state;
    char path[] = "/tmp/tenon-plugin-XXXXXX";
    int file = mkstemp(path);
    tn_engine *engine;
    assert_true(file >= 0);
    if (tn_plugin_registry_load_library(f->registry, TN_PLUGIN_LIBRARY) != TN_OK) assert_says(f, "nothing");
    assert_int_equal(tn_plugin_registry_num_classes(f->registry), 2);
    assert_non_null(tn_plugin_registry_find(f->registry, "library", "Affine", "1"));
    tn_plan *plan = build_affine(f, "library");
    assert_int_equal(tn_plan_save(plan, path, f->diag), TN_OK);
    tn_plan_destroy(plan);
    tn_engine_options options;
    tn_engine_options_init(&options);
    options.diag = f->diag;
    options.device = f->device;
    assert_int_equal(tn_engine_load(path, &options, &engine), TN_NOT_FOUND);
    assert_says(f, "step 'scale and shift' of function 'forward' needs plugin 'library::Affine::1', which is not registered");
    options.plugins = f->registry;
    assert_int_equal(tn_engine_load(path, &options, &engine), TN_OK);
    check_affine(f, engine);
    tn_engine_destroy(engine);
    (void)unlink(path);
    (void)close(file);
}

static void a_plugin_s_error_fails_the_run_with_its_words(void **state) {
    fixture *f = *state;
    tn_engine *engine;
    float x[3] = {1.0f, 617.0f, 2.0f}, y[3];
    assert_int_equal(tn_plugin_registry_add(f->registry, &affine_class), TN_OK);
    tn_plan *plan = build_affine(f, "mine");
    assert_int_equal(load(f, plan, f->registry, &engine), TN_OK);
    assert_int_equal(run(f, engine, 1, x, y), TN_INVALID_DATA);
    assert_says(f, "plugin 'mine::Affine::1' failed at step 'scale and shift': element 1 is 1234");
    check_affine(f, engine); /* and the next run is as good as ever */
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
}

static void a_shape_input_s_value_decides_the_output_s_size(void **state) {
    fixture *f = *state;
    const int64_t three = 3;
    assert_int_equal(tn_plugin_registry_add(f->registry, &tile_class), TN_OK);
    tn_plugin *plugin;
    assert_int_equal(tn_plugin_create(f->registry, "", "Tile", "2", NULL, 0, &plugin), TN_OK);
    tn_tensor *x = tn_network_add_input(f->net, "x", TN_FLOAT32, TN_DIMS(-1));
    tn_tensor *repeats =
        tn_layer_output(tn_network_add_constant(f->net, TN_SCALAR, &(tn_weights_data){.dtype = TN_INT64, .data = &three, .count = 1}), 0);
    tn_layer *layer = tn_network_add_plugin(f->net, &x, 1, &repeats, 1, plugin);
    tn_network_mark_output(f->net, tn_layer_output(layer, 0), "y");
    tn_network_mark_output(f->net, tn_layer_output(layer, 1), "n");
    tn_plugin_destroy(plugin);
    tn_profile_set_dims(tn_builder_config_add_profile(f->config), "x", TN_DIMS(1), TN_DIMS(2), TN_DIMS(4));
    tn_plan *plan;
    tn_engine *engine;
    tn_context *context;
    tn_dims dims;
    float in[2] = {1.0f, 2.0f}, out[6];
    int64_t n = 0;
    if (tn_builder_build(f->builder, f->net, f->config, &plan) != TN_OK) assert_says(f, "nothing");
    if (load(f, plan, f->registry, &engine) != TN_OK) assert_says(f, "nothing");
    assert_int_equal(tn_context_create(engine, NULL, &context), TN_OK);
    assert_int_equal(tn_context_set_input_shape(context, "x", TN_DIMS(2)), TN_OK);
    assert_int_equal(tn_context_get_shape(context, "y", &dims), TN_OK);
    assert_int_equal(dims.d[0], 6);
    assert_int_equal(tn_context_set_address(context, "x", in), TN_OK);
    assert_int_equal(tn_context_set_address(context, "y", out), TN_OK);
    assert_int_equal(tn_context_set_address(context, "n", &n), TN_OK);
    assert_int_equal(tn_context_enqueue(context, NULL), TN_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(out, ((float[6]){1, 2, 1, 2, 1, 2}), sizeof out);
    tn_context_destroy(context);
    tn_engine_destroy(engine);
    tn_plan_destroy(plan);
}

/* --- wrong uses ------------------------------------------------------------------------------------------------------------- */

static tn_status infer_nothing(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                               tn_plugin_shape *outputs) {
    (void)call, (void)self, (void)inputs, (void)num_inputs, (void)outputs;
    return TN_OK;
}
static tn_status infer_rank(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                            tn_plugin_shape *outputs) {
    (void)call, (void)self, (void)num_inputs;
    outputs[0] = inputs[0], outputs[0].rank = 9;
    return TN_OK;
}
static tn_status infer_dim(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                           tn_plugin_shape *outputs) {
    (void)call, (void)self, (void)num_inputs;
    outputs[0] = inputs[0], outputs[0].rank = 1, outputs[0].dims[0] = 123456;
    return TN_OK;
}
static tn_status infer_negative(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                                tn_plugin_shape *outputs) {
    (void)self, (void)num_inputs;
    outputs[0] = inputs[0], outputs[0].rank = 1, outputs[0].dims[0] = call->make_dim(call, -4);
    return TN_OK;
}
static tn_status infer_silence(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                               tn_plugin_shape *outputs) {
    (void)call, (void)self, (void)inputs, (void)num_inputs, (void)outputs;
    return TN_UNSUPPORTED;
}
static tn_status infer_madness(const tn_plugin_call *call, const void *self, const tn_plugin_shape *inputs, uint32_t num_inputs,
                               tn_plugin_shape *outputs) {
    (void)self, (void)inputs, (void)num_inputs, (void)outputs;
    call->set_error(call, "\xff\xfe");
    return (tn_status)4711;
}
static tn_status serialize_two_sizes(const tn_plugin_call *call, const void *self, void *buffer, size_t capacity, size_t *out_size) {
    (void)call, (void)self, (void)buffer;
    *out_size = capacity == 0 ? 8 : 16;
    return TN_OK;
}
static tn_status serialize_fails(const tn_plugin_call *call, const void *self, void *buffer, size_t capacity, size_t *out_size) {
    (void)self, (void)buffer, (void)capacity, (void)out_size;
    call->set_error(call, "no disk");
    return TN_IO_ERROR;
}

static void layers_of_wrong_plugins_are_refused_by_name(void **state) {
    fixture *f = *state;
    static const struct {
        tn_plugin_class change;
        tn_dtype dtype;
        const char *part;
    } cases[] = {
        {{.infer_shapes = infer_nothing}, TN_FLOAT32, "plugin 'mine::Affine::1' gave output 0 wrongly: it has no type"},
        {{.infer_shapes = infer_rank}, TN_FLOAT32, "its rank is not 0 to 8"},
        {{.infer_shapes = infer_dim}, TN_FLOAT32, "it has a dimension that does not exist"},
        {{.infer_shapes = infer_negative}, TN_FLOAT32, "it has a negative dimension"},
        {{.infer_shapes = infer_silence}, TN_FLOAT32, "refuses these inputs: it gave no reason"},
        {{.infer_shapes = infer_madness}, TN_FLOAT32, "refuses these inputs: it gave no reason"},
        {{.infer_shapes = affine_infer}, TN_INT32, "refuses these inputs: x must be float32"},
        {{.infer_shapes = affine_infer, .serialize = serialize_two_sizes}, TN_FLOAT32, "it said 8 bytes and wrote 16"},
        {{.infer_shapes = affine_infer, .serialize = serialize_fails}, TN_FLOAT32, "cannot save plugin 'mine::Affine::1': no disk"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture own;
        tn_plugin_class changed = AFFINE_CLASS("mine");
        start(&own, "ref", false);
        changed.infer_shapes = cases[i].change.infer_shapes;
        if (cases[i].change.serialize != NULL) changed.serialize = cases[i].change.serialize;
        assert_int_equal(tn_plugin_registry_add(own.registry, &changed), TN_OK);
        tn_plugin *plugin = make_affine(&own, "mine", 1.0, 0.0);
        tn_tensor *x = tn_network_add_input(own.net, "x", cases[i].dtype, TN_DIMS(-1, 3));
        assert_null(tn_network_add_plugin(own.net, &x, 1, NULL, 0, plugin));
        assert_says(&own, cases[i].part);
        tn_plugin_destroy(plugin);
        finish(&own);
    }
    assert_int_equal(tn_plugin_registry_add(f->registry, &affine_class), TN_OK);
    assert_int_equal(tn_plugin_registry_add(f->registry, &tile_class), TN_OK);
    tn_plugin *plugin = make_affine(f, "mine", 1.0, 0.0), *tile;
    assert_int_equal(tn_plugin_create(f->registry, "", "Tile", NULL, NULL, 0, &tile), TN_OK);
    tn_tensor *x = tn_network_add_input(f->net, "x", TN_FLOAT32, TN_DIMS(3)), *two[2] = {x, x};
    tn_network *other;
    assert_int_equal(tn_network_create(NULL, &other), TN_OK);
    tn_tensor *foreign = tn_network_add_input(other, "foreign", TN_FLOAT32, TN_DIMS(3));
    assert_null(tn_network_add_plugin(f->net, two, 2, NULL, 0, plugin));
    assert_says(f, "plugin 'mine::Affine::1' has 1 to 1 inputs, 2 were given");
    assert_null(tn_network_add_plugin(f->net, &x, 1, NULL, 0, NULL));
    assert_says(f, "cannot add plugin: the plugin is missing");
    assert_null(tn_network_add_plugin(f->net, NULL, 1, NULL, 0, plugin));
    assert_says(f, "cannot add plugin: its inputs are missing, or more than 32");
    assert_null(tn_network_add_plugin(f->net, &foreign, 1, NULL, 0, plugin));
    assert_says(f, "'foreign') belongs to another network");
    assert_null(tn_network_add_plugin(f->net, &x, 1, &x, 1, tile));
    assert_says(f, "its shape input 'x' must be integers or bools");
    tn_layer *good = tn_network_add_plugin(f->net, &x, 1, NULL, 0, plugin);
    assert_non_null(good);
    assert_false(tn_layer_set_text(good, "plugin", "other::Thing::1"));
    assert_says(f, "a plugin's fields are set when it is created");
    tn_network_destroy(other);
    tn_plugin_destroy(plugin);
    tn_plugin_destroy(tile);
}

static void wrong_classes_and_fields_are_refused(void **state) {
    fixture *f = *state;
#define REFUSED(changes, part)                                                          \
    do {                                                                                \
        tn_plugin_class c = AFFINE_CLASS("wrong");                                      \
        changes;                                                                        \
        assert_int_equal(tn_plugin_registry_add(f->registry, &c), TN_INVALID_ARGUMENT); \
        assert_says(f, part);                                                           \
    } while (0)
    static char long_name[200];
    memset(long_name, 'n', sizeof long_name - 1);
    REFUSED(c.struct_size = 8, "it was made for another abi");
    REFUSED(c.abi = 99, "it was made for another abi");
    REFUSED(c.type = "", "it has no type or version");
    REFUSED(c.version = NULL, "it has no type or version");
    REFUSED(c.type = long_name, "longer than 120 bytes");
    REFUSED(c.type = "a\"b", "quotes, backslashes");
    REFUSED(c.name_space = "a::b", "or '::'");
    REFUSED(c.run = NULL, "no infer_shapes or no run");
    REFUSED(c.infer_shapes = NULL, "no infer_shapes or no run");
    REFUSED(c.deserialize = NULL, "only one of serialize and deserialize");
    REFUSED((c.serialize = NULL, c.deserialize = NULL), "have a state (create) but no serialize");
    REFUSED((c.create = NULL, c.serialize = NULL, c.deserialize = NULL), "it has fields but no create");
    REFUSED(c.num_outputs = 0, "it must have 1 to 4 outputs");
    REFUSED(c.num_outputs = 5, "it must have 1 to 4 outputs");
    REFUSED(c.min_inputs = 2, "min_inputs to max_inputs");
    REFUSED(c.max_inputs = 33, "at most 32");
    REFUSED(c.fields = NULL, "its fields are missing");
    REFUSED(c.fields = ((const tn_plugin_field_info[]){{"", TN_PARAMETER_INT, false}, {"b", TN_PARAMETER_INT, false}}),
            "one of its fields has no name");
    REFUSED(c.fields = ((const tn_plugin_field_info[]){{"a", TN_PARAMETER_ENUM, false}, {"b", TN_PARAMETER_INT, false}}),
            "fields are bools, ints");
    assert_int_equal(tn_plugin_registry_add(f->registry, NULL), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_plugin_registry_add(NULL, &affine_class), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_plugin_registry_add(f->registry, &affine_class), TN_OK);
    assert_int_equal(tn_plugin_registry_add(f->registry, &affine_class), TN_INVALID_ARGUMENT);
    assert_says(f, "there is a class of that namespace, type and version already");
#define FIELD(n, t) {.name = (n), .type = (t), .real = 1.0}
#define NO_PLUGIN(status, part, ...)                                                                                                       \
    do {                                                                                                                                   \
        const tn_parameter fields[] = {__VA_ARGS__};                                                                                       \
        tn_plugin *plugin;                                                                                                                 \
        assert_int_equal(tn_plugin_create(f->registry, "mine", "Affine", "1", fields, sizeof fields / sizeof fields[0], &plugin), status); \
        assert_null(plugin);                                                                                                               \
        assert_says(f, part);                                                                                                              \
    } while (0)
    NO_PLUGIN(TN_INVALID_ARGUMENT, "field 'scale' is none of its class", FIELD("scale", TN_PARAMETER_REAL));
    NO_PLUGIN(TN_INVALID_ARGUMENT, "field 'factor' is of another type in its class", FIELD("factor", TN_PARAMETER_INT));
    NO_PLUGIN(TN_INVALID_ARGUMENT, "field 'factor' must be given", FIELD("offset", TN_PARAMETER_REAL));
    NO_PLUGIN(TN_INVALID_ARGUMENT, "field 'factor' is given twice", FIELD("factor", TN_PARAMETER_REAL), FIELD("factor", TN_PARAMETER_REAL));
    NO_PLUGIN(TN_INVALID_ARGUMENT, "the factor must not be 0", {.name = "factor", .type = TN_PARAMETER_REAL});
    tn_plugin *plugin;
    assert_int_equal(tn_plugin_create(f->registry, "mine", "Affine", "2", NULL, 0, &plugin), TN_NOT_FOUND);
    assert_says(f, "'mine::Affine::2': the registry has no such class");
    assert_int_equal(tn_plugin_create(f->registry, "mine", NULL, NULL, NULL, 0, &plugin), TN_INVALID_ARGUMENT);
    assert_int_equal(tn_plugin_create(f->registry, "mine", "Affine", NULL, NULL, 1, &plugin), TN_INVALID_ARGUMENT);
    assert_null(tn_plugin_registry_class(f->registry, 1));
}

static void libraries_are_never_searched_for_and_refused_with_the_reason(void **state) {
    fixture *f = *state;
    assert_int_equal(tn_plugin_registry_load_library(f->registry, "plugin.so"), TN_INVALID_ARGUMENT);
    assert_says(f, "a path with a slash is needed");
    assert_int_equal(tn_plugin_registry_load_library(f->registry, "/no/such/plugin.so"), TN_NOT_FOUND);
    assert_says(f, "there is no such file");
    assert_int_equal(tn_plugin_registry_load_library(f->registry, TN_TEST_DATA "/layers/model.json"), TN_INVALID_DATA);
    assert_int_equal(tn_plugin_registry_load_library(f->registry, TN_PLUGIN_WRONG_LIBRARY), TN_INVALID_DATA);
    assert_says(f, "it has no plugins for this version");
    assert_int_equal(tn_plugin_registry_load_library(f->registry, TN_PLUGIN_LIBRARY), TN_OK);
    assert_int_equal(tn_plugin_registry_load_library(f->registry, TN_PLUGIN_LIBRARY), TN_INVALID_ARGUMENT); /* the same classes again */
    assert_int_equal(tn_plugin_registry_num_classes(f->registry), 2);
    assert_int_equal(tn_plugin_registry_load_library(NULL, TN_PLUGIN_LIBRARY), TN_INVALID_ARGUMENT);
}

static void each_failing_allocation_is_reported_and_leaks_nothing(void **state) {
    fixture *f = *state;
    assert_int_equal(tn_plugin_registry_add(f->registry, &affine_class), TN_OK);
    tn_plan *plan = build_affine(f, "mine");
    for (size_t n = 1;; n++) {
        tn_fault_allocator fault;
        tn_engine_options options;
        tn_engine *engine;
        tn_plugin_registry *registry = NULL;
        tn_plugin_registry_options registry_options;
        tn_plugin *plugin = NULL;
        const tn_parameter factor = {.name = "factor", .type = TN_PARAMETER_REAL, .real = 1.0};
        tn_fault_allocator_init(&fault, n);
        tn_engine_options_init(&options);
        tn_plugin_registry_options_init(&registry_options);
        options.diag = registry_options.diag = f->diag;
        options.device = f->device;
        options.allocator = registry_options.allocator = &fault.allocator;
        tn_status status = tn_plugin_registry_create(&registry_options, &registry);
        if (status == TN_OK) status = tn_plugin_registry_add(registry, &affine_class);
        if (status == TN_OK) status = tn_plugin_create(registry, "mine", "Affine", NULL, &factor, 1, &plugin);
        tn_plugin_destroy(plugin);
        options.plugins = registry;
        if (status == TN_OK) {
            status = tn_engine_create(plan, &options, &engine);
            tn_engine_destroy(engine);
        }
        tn_plugin_registry_destroy(registry);
        assert_int_equal(tn_fault_num_live_blocks(&fault), 0);
        if (!tn_fault_has_failed(&fault)) {
            assert_int_equal(status, TN_OK);
            break;
        }
        assert_int_equal(status, TN_OUT_OF_MEMORY);
    }
    tn_plan_destroy(plan);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plugin_in_process_runs_on_every_backend_of_the_host),
        TEST(a_plugin_of_a_library_runs_from_a_saved_plan),
        TEST(a_plugin_s_error_fails_the_run_with_its_words),
        TEST(a_shape_input_s_value_decides_the_output_s_size),
        TEST(layers_of_wrong_plugins_are_refused_by_name),
        TEST(wrong_classes_and_fields_are_refused),
        TEST(libraries_are_never_searched_for_and_refused_with_the_reason),
        TEST(each_failing_allocation_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
