/* SPDX-License-Identifier: Apache-2.0
 *
 * inspect_export.h: a plan's steps as a graph for other programs: Graphviz, viewers of ONNX files, a browser.
 */
#ifndef TN_CLI_INSPECT_EXPORT_H_
#define TN_CLI_INSPECT_EXPORT_H_

#include "base/text.h"
#include "plan/plan.h"

/* Steps as boxes, inputs and outputs as ellipses, one cluster a function. */
void tn_export_dot(const tn_plan_view *view, tn_text *out);
/* A ModelProto of the first function for looking at, not for running: a node a step, its operation as the type, problem and tactics as
 * attributes; weights are inputs without values. */
void tn_export_onnx(const tn_plan_view *view, tn_text *out);
/* One page that needs nothing else. time_json: a report of `inspect --time --json`, or NULL. false after reporting. */
bool tn_export_page(const tn_plan *plan, const char *time_json, tn_text *out);
/* All of the text into a file, or nothing. false after reporting. */
bool tn_export_write(const char *path, const tn_text *text);

#endif
