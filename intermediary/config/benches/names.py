"""The names of the figures of each group of `manage.py bench`, as docs/benchmarks.md promises them. Data only."""

KERNELS = (
    "remargin_es_1core_s",
    "remargin_es_2core_s",
    "remargin_es_cpu_s",
    "remargin_es_of_sgemm",
    "remargin_im_1core_s",
    "remargin_im_2core_s",
    "remargin_im_cpu_s",
    "remargin_im_of_sgemm",
    "tick_partial_share",
    "tick_partial_2core_share",
    "tick_partial_im_share",
    "tick_partial_im_2core_share",
    "sgemm_share",
    "sgemm_gflops",
    "f32_rel_error",
    "f32_rel_error_other_hedges",
    "black76_m_per_s",
    "black76_vs_quantlib_instruments",
    "black76_vs_blackformula",
    "peak_mb",
    "whatif_kernel_ms",
)
WHAT_IF = (
    "whatif_ms",
    "whatif_p95_ms",
    "whatif_first_ms",
    "whatif_market_ms",
    "whatif_cpu_ms",
    "whatif_queries",
)
SCALE = (
    "tick_10k_p95_s",
    "tick_10k_median_s",
    "tick_10k_cpu_s",
    "tick_10k_still_p95_s",
    "tick_10k_cycle_s",
    "tick_10k_cycle_cpu_s",
    "measure_10k_s",
    "tick_growth_1k_10k",
    "tick_partial_end_to_end_share",
)
TICK = (
    "tick_s",
    "tick_best_s",
    "tick_cpu_s",
    "tick_cold_s",
    "tick_moving_s",
    "tick_moving_best_s",
    "tick_moving_cpu_s",
    "worker_peak_mb",
)
SETTLEMENT = (
    "debit_gas_marginal",
    "credit_gas_marginal",
    "batch_200_gas",
    "movements_per_s",
    "backfill_logs_per_s",
    "reconcile_10k_s",
    "process_peak_mb",
)
BONDS = (
    "exact_3_layers_ms",
    "basket_50_ms",
    "is_rel_se_max",
    "is_variance_ratio_min",
    "price_yield_ms",
    "remark_1000_s",
    "remark_1000_cpu_s",
    "remark_1000_in_full_s",
    "remark_1000_in_full_cpu_s",
    "clear_10k_s",
    "coupon_10k_s",
)
NAMES = {
    "bonds": BONDS,
    "kernels": KERNELS,
    "risk": KERNELS + WHAT_IF + SCALE,
    "scale": SCALE,
    "settlement": SETTLEMENT,
    "tick": TICK,
}
