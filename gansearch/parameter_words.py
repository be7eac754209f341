"""What other tools and papers call the parameters of adversarial nets: answers to such names.

A key is in lower case with underscores. Its answer is the names of parameters here, or sentences
where no parameter does the same.
"""

from __future__ import annotations

from collections.abc import Mapping

Answer = tuple[str, ...] | str

_RATES = ("generator_lr", "discriminator_lr")
_WIDTHS = ("generator_widths", "discriminator_widths")
_CHANNELS = ("generator_channels", "discriminator_channels")
_ACTIVATIONS = ("generator_activation", "discriminator_activation")
_NORMALIZATIONS = ("generator_normalization", "discriminator_normalization")
_PENALTY = ("gradient_penalty_weight", "gradient_penalty")
_NORM_LIMITS = "generator_max_norm and discriminator_max_norm limit the norm of each unit's weights"
_LOSS = (
    "The loss of G is generator_loss (non_saturating or minimax), the penalty on D's gradient is "
    "gradient_penalty (none, r1 or one_centered); D's loss is always the cross-entropy of the "
    "paper. Wasserstein and hinge losses are not there."
)
_NO_SPECTRAL_NORM = (
    "Spectral normalization is not there. The nearest is gradient_penalty, which also limits how "
    f"steep D is; {_NORM_LIMITS}."
)
_NO_CLIPPING = f"Clipping is not there. The nearest: {_NORM_LIMITS}."
_SEED = "The seed belongs to the run: --seed."
_BUDGET_OF_TIME = "Time is no parameter: --time-budget."
_TRIALS_AT_A_TIME = "The number of trials at a time belongs to the run: --max-concurrent."


def _each(answer: Answer, *names: str) -> dict[str, Answer]:
    return dict.fromkeys(names, answer)


PARAMETER_WORDS: Mapping[str, Answer] = {
    **_each(_RATES, "lr", "learning_rate", "step_size", "alpha", "eta", "learningrate"),
    **_each(("generator_lr",), "g_lr", "lr_g", "lrg", "gen_lr", "lr_gen", "lr_generator"),
    **_each(("generator_lr",), "g_learning_rate", "generator_learning_rate"),
    **_each(("discriminator_lr",), "d_lr", "lr_d", "lrd", "disc_lr", "lr_disc", "critic_lr"),
    **_each(("discriminator_lr",), "d_learning_rate", "discriminator_learning_rate"),
    **_each(("discriminator_lr",), "lr_discriminator", "lr_critic"),
    **_each(("lr_decay", "final_lr_share"), "gamma", "lr_gamma", "decay", "lr_schedule"),
    **_each(("lr_decay", "final_lr_share"), "scheduler", "lr_scheduler"),
    **_each(("noise_dim",), "latent_dim", "latent", "latent_size", "latent_dims", "dim_z"),
    **_each(("noise_dim",), "z_dim", "zdim", "z_size", "nz", "noise_size", "n_latent", "z"),
    **_each(("noise",), "prior", "noise_type", "noise_dist", "noise_distribution", "z_dist"),
    **_each(("k",), "n_critic", "ncritic", "critic_iters", "critic_steps", "n_critics", "n_dis"),
    **_each(("k",), "d_steps", "n_d", "disc_iters", "d_iters", "num_d_steps", "diters", "n_disc"),
    **_each(("batch_size",), "batch", "bs", "batchsize", "minibatch", "minibatch_size"),
    **_each(("optimizer",), "optim", "opt", "optimiser", "solver"),
    **_each(("adam_beta1",), "beta1", "beta_1", "b1"),
    **_each(("adam_beta2",), "beta2", "beta_2", "b2"),
    **_each(("adam_beta1", "adam_beta2"), "betas", "adam_betas"),
    **_each(("generator_ema",), "ema", "ema_decay", "ema_beta", "g_ema", "ema_kimg", "polyak"),
    **_each(("generator_ema",), "averaging", "weight_averaging"),
    **_each(_WIDTHS, "hidden", "hidden_size", "hidden_dim", "hidden_dims", "hidden_sizes"),
    **_each(_WIDTHS, "hidden_units", "hidden_layers", "width", "widths", "units", "layers"),
    **_each(_WIDTHS, "n_layers", "num_layers", "depth", "n_hidden", "layer_sizes", "neurons"),
    **_each(("generator_widths",), "g_hidden", "hidden_g", "g_widths", "g_layers"),
    **_each(("discriminator_widths",), "d_hidden", "hidden_d", "d_widths", "d_layers"),
    **_each(("generator_channels",), "ngf", "g_channels", "g_filters"),
    **_each(("discriminator_channels",), "ndf", "d_channels", "d_filters"),
    **_each(_CHANNELS, "channels", "filters", "n_filters", "feature_maps", "nf"),
    **_each(("generator_kernels", "discriminator_kernels"), "kernel", "kernels", "kernel_size"),
    **_each(("generator_strides", "discriminator_strides"), "stride", "strides"),
    **_each(("generator_paddings", "discriminator_paddings"), "padding", "paddings"),
    **_each(_ACTIVATIONS, "activation", "act", "nonlinearity", "activation_fn"),
    **_each(("leaky_slope",), "negative_slope", "leaky_relu_slope", "leak", "slope"),
    **_each(_NORMALIZATIONS, "norm", "normalization", "batch_norm", "batchnorm", "bn", "use_bn"),
    **_each(_NORMALIZATIONS, "normalisation", "norm_layer"),
    **_each(("generator_network", "discriminator_network"), "model", "arch", "architecture"),
    **_each(("generator_network", "discriminator_network"), "network", "net", "gan_type"),
    **_each(("dropout_input", "dropout_hidden"), "dropout", "drop", "drop_rate", "p_dropout"),
    **_each(("init",), "initializer", "weight_init", "init_type", "initialization"),
    **_each(("init_sd",), "init_std", "init_gain", "weight_init_std"),
    **_each(("maxout_pieces",), "maxout", "pieces", "num_pieces", "n_pieces"),
    **_each(("packing",), "pac", "pac_size", "pacgan"),
    **_each(("minibatch_sd",), "minibatch_std", "mbstd", "minibatch_stddev", "mbstd_group_size"),
    **_each(("minibatch_sd",), "minibatch_discrimination"),
    **_each(("instance_noise_sd",), "instance_noise", "noise_std", "noise_sigma", "input_noise"),
    **_each(("unrolled_steps",), "unroll", "unrolled", "unroll_steps", "unrolling_steps"),
    **_each(("label_smoothing",), "smoothing", "smooth", "label_smooth", "one_sided_smoothing"),
    **_each(_PENALTY, "gp", "lambda_gp", "gp_weight", "gp_lambda", "r1", "r1_gamma", "lambda"),
    **_each(_PENALTY, "penalty", "gp_coef", "penalty_weight", "r1_weight"),
    **_each(("precision",), "amp", "fp16", "bf16", "mixed_precision", "dtype", "half"),
    **_each(("batch_order",), "shuffle", "sampler", "replacement"),
    **_each(_LOSS, "loss", "loss_type", "loss_fn", "gan_mode", "objective", "criterion", "d_loss"),
    **_each(_LOSS, "adversarial_loss", "discriminator_loss", "gan_loss", "wgan", "hinge"),
    **_each(
        f"Weight decay is not there. The nearest: {_NORM_LIMITS}, which also bounds them, as in "
        "the paper's configuration for TFD.",
        *("weight_decay", "wd", "l2", "l2_reg", "l2_penalty", "adam_weight_decay"),
    ),
    **_each(_NO_CLIPPING, "clip", "grad_clip", "clip_grad", "clip_value", "weight_clip"),
    **_each(_NO_CLIPPING, "gradient_clip", "clip_grad_norm", "max_grad_norm"),
    **_each(_NO_SPECTRAL_NORM, "spectral_norm", "sn", "spectral_normalization", "use_sn"),
    **_each(
        "Adam's epsilon is 1e-8 and can't be set.",
        *("eps", "epsilon", "adam_eps", "adam_epsilon"),
    ),
    **_each(_SEED, "seed", "random_seed", "manual_seed", "random_state"),
    **_each(_BUDGET_OF_TIME, "time_budget", "timeout", "time_limit", "max_time", "max_hours"),
    **_each(_TRIALS_AT_A_TIME, "max_concurrent", "n_jobs", "num_workers", "max_concurrent_trials"),
    **_each(_TRIALS_AT_A_TIME, "workers", "n_workers"),
}
