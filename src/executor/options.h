/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h: the executor's options: defaults, checks.
 */
#ifndef TN_EXECUTOR_OPTIONS_H_
#define TN_EXECUTOR_OPTIONS_H_

#include "base/report.h"
#include "tenon/executor.h"

/* Checks every option, puts numbers for zeros, and lowers the limits of `info` to what was asked for. */
TN_MUST_CHECK tn_status tn_executor_complete_options(tn_executor_options *options, tn_executor_info *info, const tn_engine *engine,
                                                     tn_diag *diag);

#endif
