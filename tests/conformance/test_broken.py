"""Components that break the contract in one way are rejected, by the right check, saying why."""

from __future__ import annotations

import pytest

from mmft_core.errors import MmftError
from mmft_testing import (
    backbones,
    commands,
    common,
    datasets,
    metrics,
    optimizers,
    plugin_checks,
    schedules,
    tasks,
)

EXPECTED = {
    # What a plugin declares.
    "broken_plain": [
        ("loads", "RuntimeError: the fault of this hook"),
        ("imports_nothing_heavy", "importing broken_plain imports torch"),
        ("options_import_nothing_heavy", "importing broken_options imports torch"),
    ],
    "broken_plain/nowhere": [("build_path_resolves", "no attribute 'NoSuch'")],
    "broken_plain/uncallable": [("build_path_resolves", "CLASSES is not callable")],
    "broken_plain/mistyped-default": [
        ("defaults_are_settings", "no option 'engine.learning_rate'")
    ],
    "broken_plain/unplaced-default": [("defaults_are_settings", "'lr' is not a setting of a part")],
    "broken_plain/unheeded-default": [
        ("defaults_are_settings", "'backbone' is not a setting of training")
    ],
    "broken_plain/undeclared-extra": [
        ("extras_are_declared", "declares no extra no-such"),
    ],
    "broken_plain/undocumentedoptions": [
        ("options_are_frozen_and_documented", "the option width has no description")
    ],
    "broken_plain/mutableoptions": [
        ("options_are_frozen_and_documented", "MutableOptions is not frozen")
    ],
    "broken_plain/requiredoptions": [
        ("options_are_frozen_and_documented", "the option width of RequiredOptions has no default")
    ],
    "broken_plain/unsounddefaultoptions": [
        ("options_are_frozen_and_documented", r"UnsoundDefaultOptions.width, 8, does not fit its")
    ],
    "broken_plain/plainoptions": [
        ("options_are_frozen_and_documented", "PlainOptions.* is not a dataclass")
    ],
    # Backbones.
    "broken_backbones/not-a-backbone": [("builds_without_network", "built a Linear, not a B")],
    "broken_backbones/uses-network": [("builds_without_network", "it uses the network")],
    "broken_backbones/loads-weights": [("builds_without_network", "it says 'published'")],
    "broken_backbones/unsaid-weights": [
        ("builds_without_network", "has no `loaded` that is a LoadedWeights")
    ],
    "broken_backbones/network-in-processor": [
        ("processor_is_picklable_and_light", "the processor is a network")
    ],
    "broken_backbones/unpicklable": [("processor_is_picklable_and_light", "pickle")],
    "broken_backbones/random-evaluation": [
        ("prepares_the_same_for_evaluation", "differs from call to call")
    ],
    "broken_backbones/unseeded-training": [
        ("prepares_for_training_by_the_seed", "differs although the seed is the same")
    ],
    "broken_backbones/silent-augmentation": [
        ("prepares_all_alike_unless_it_augments", "and `augments` does not mention it")
    ],
    "broken_backbones/seldom-augmentation": [
        ("prepares_all_alike_unless_it_augments", "and `augments` does not mention it")
    ],
    "broken_backbones/same-stamp": [("stamps_tell_inputs_apart", "samples have the same stamp")],
    "broken_backbones/mismeasured": [("measures_what_it_prepares", "measure says 7 of an input")],
    "broken_backbones/encodes-again": [("hands_stored_features_on", "changes stored pooled")],
    "broken_backbones/wrong-batch": [("collates_batches", r"of a batch of \d has shape")],
    "broken_backbones/wrong-width": [("features_have_their_shapes", r"\(1, 8\), not \(1, 9\)")],
    "broken_backbones/no-sequence": [("features_have_their_shapes", "declares a sequence and")],
    "broken_backbones/infinite": [("features_have_their_shapes", "features are not finite")],
    "broken_backbones/float-mask": [("features_have_their_shapes", "the mask is torch.float32")],
    "broken_backbones/padding-counts": [("samples_do_not_mix", "features depend on its batch")],
    "broken_backbones/constant": [("samples_do_not_mix", "two samples have the same features")],
    "broken_backbones/layer-forgotten": [
        ("layers_cover_every_parameter_once", "no layer holds mix.weight, mix.bias")
    ],
    "broken_backbones/layer-twice": [
        ("layers_cover_every_parameter_once", "several layers hold embed.weight, embed.bias")
    ],
    "broken_backbones/part-forgotten": [
        ("parts_cover_every_parameter_once", "no part holds mix.weight, mix.bias")
    ],
    "broken_backbones/detached": [("gradients_reach_every_layer", "cut off from the weights")],
    "broken_backbones/half-detached": [
        ("gradients_reach_every_layer", "no gradient reaches embed.weight")
    ],
    "broken_backbones/weight-read": [
        ("roles_name_layers_that_are_called", "no gradient reaches the adapter mix.lora_B")
    ],
    "broken_backbones/layers-kept": [
        ("roles_name_layers_that_are_called", "holds the layer below the adapter embed")
    ],
    "broken_backbones/unknown-role": [
        ("roles_name_layers_that_are_called", "'mlp' names mixture, which is not a module")
    ],
    "broken_backbones/checkpointing-forgets": [
        ("checkpointing_changes_nothing", "the gradients differ")
    ],
    "broken_backbones/unseeded-weights": [("same_seed_same_weights", "same seed the weights dif")],
    "broken_backbones/hidden-state": [
        ("weights_survive_saving", "gives other features: something is not in its state")
    ],
    "broken_backbones/looks-at-weights": [
        ("builds_without_weights", r"cannot be built on torch's meta device.*line \d+")
    ],
    # Datasets.
    "broken_datasets/not-a-dataset": [("builds_offline", "built a dict, not a Dataset")],
    "broken_datasets/downloads": [("builds_offline", "it uses the network")],
    "broken_datasets/no-train": [("builds_offline", "there is no split 'train'")],
    "broken_datasets/empty-split": [("builds_offline", "split 'test' is empty")],
    "broken_datasets/id-twice": [("ids_are_unique", r"'signs\[1\]' is there more than once")],
    "broken_datasets/id-in-two-splits": [("ids_are_unique", r"'signs\[2\]' is there more than")],
    "broken_datasets/other-modality": [
        ("samples_hold_what_is_declared", "has no input of numbers")
    ],
    "broken_datasets/two-targets": [("samples_hold_what_is_declared", "has two targets")],
    "broken_datasets/strange-class": [
        ("targets_are_of_the_declared_types", "has the class 'positive', not among")
    ],
    "broken_datasets/number-as-class": [
        ("targets_are_of_the_declared_types", r"has the target \d, not one of type class")
    ],
    "broken_datasets/one-class": [("targets_are_of_the_declared_types", "its classes are ")],
    "broken_datasets/too-few-sizes": [
        ("sizes_are_for_every_sample", r"has (\d+) samples and sizes of (?!\1)\d+")
    ],
    "broken_datasets/torn-group": [
        ("groups_are_of_every_sample", "the group 'everywhere' is in 'train' and in 'val'")
    ],
    "broken_datasets/other-origins": [
        ("origins_stay_the_same", "otherwise when it is built again")
    ],
    "broken_datasets/open-file": [("splits_are_picklable", "cannot pickle")],
    "broken_datasets/unseeded-split": [("same_seed_same_split", "holds other samples")],
    "broken_datasets/missing-path": [("refuses_a_missing_path", "a missing path is accepted")],
    "broken_datasets/crashing-path": [
        ("refuses_a_missing_path", "ends in FileNotFoundError.*, not in a DataError")
    ],
    # Tasks.
    "broken_tasks/not-a-task": [("builds_on_a_backbone", "built a Linear, not a Task")],
    "broken_tasks/unknown-dataset": [
        ("defaults_are_there", "no dataset named 'sound/sings'. Did you mean 'sound/signs'")
    ],
    "broken_tasks/unknown-metric": [("defaults_are_there", "no metric named 'shaer'")],
    "broken_tasks/unmeasured-monitor": [
        ("defaults_are_there", "'share/of-signs' is not one of its default metrics")
    ],
    "broken_tasks/no-backbones": [("builds_on_a_backbone", "`backbones` lack {'numbers'}")],
    "broken_tasks/unpicklable-codec": [("builds_on_a_backbone", "pickle")],
    "broken_tasks/vector-loss": [("loss_is_finite", "the loss is not one number")],
    "broken_tasks/infinite-loss": [("loss_is_finite", "the loss is inf")],
    "broken_tasks/detached-loss": [("loss_is_finite", "the loss is cut off from the weights")],
    "broken_tasks/summed-loss": [("loss_is_the_mean_over_the_batch", "the loss of a batch is")],
    "broken_tasks/idle-parameter": [
        ("gradients_reach_its_own_parameters", "no gradient reaches scale")
    ],
    "broken_tasks/loss-without-targets": [
        ("predictions_decode_to_records", "without targets there is a loss")
    ],
    "broken_tasks/silent": [("predictions_decode_to_records", "there are no predictions")],
    "broken_tasks/peeking": [("predictions_decode_to_records", "depend on the targets")],
    "broken_tasks/too-few-records": [
        ("predictions_decode_to_records", "gives 1 records of 4 samples")
    ],
    "broken_tasks/tensor-in-record": [
        ("predictions_decode_to_records", "Tensor is not JSON serializable")
    ],
    "broken_tasks/nan-in-record": [("predictions_decode_to_records", "not JSON compliant")],
    "broken_tasks/short-ranking": [
        ("rankings_score_every_sample", "'Most wrong' does not score each sample")
    ],
    "broken_tasks/learns-nothing": [("one_batch_is_overfitted", "fell from 1 to 1 only")],
    "broken_tasks/encodes-itself": [
        ("reads_no_more_than_it_says", "call the backbone, and not its `encode`")
    ],
    "broken_tasks/reads-in-secret": [
        ("reads_no_more_than_it_says", "from kept features its predictions are others")
    ],
    "broken_tasks/unseeded-noise": [("same_seed_same_result", "with the same seed the losses")],
    "broken_tasks/forgetful": [("predictions_survive_saving", "task predicts something else")],
    "broken_tasks/looks-at-weights": [
        ("builds_without_weights", "its constructor must not look|cannot be built on torch's meta")
    ],
    "broken_tasks/another-loss-alone": [
        ("loss_is_the_same_without_predictions", "alone the loss is")
    ],
    "broken_tasks/tuple": [("loss_is_finite", "forward returns a tuple, not Outputs")],
    "broken_tasks/counted-batch": [
        ("graphs_are_of_any_batch", "The graph 'model' cannot be exported: Constraints violated")
    ],
    # Commands.
    "broken_commands/a-function": [("says_what_it_does", "is not a click command")],
    "broken_commands/heavy": [("help_is_light", "importing broken_heavy_command imports torch")],
    "broken_commands/without-help": [("says_what_it_does", "without-help has no help text")],
    "broken_commands/silent-option": [("says_what_it_does", "--size has no help text")],
    "broken_commands/silent-subcommand": [
        ("says_what_it_does", "silent-subcommand inner has no help text")
    ],
    # Optimizers and schedules.
    "broken_training/no-optimizer": [("lowers_a_loss", "built a OptimizerContext, not an Opt")],
    "broken_training/matrices-only": [("lowers_a_loss", "does not hold all parameters")],
    "broken_training/ascends": [("lowers_a_loss", "in 20 steps the loss went from")],
    "broken_training/forgets": [("goes_on_from_a_checkpoint", "it takes another step")],
    "broken_training/no-schedule": [("sets_every_rate", "built a ScheduleContext, not an LRSch")],
    "broken_training/one-rate": [("sets_every_rate", "groups have .* of their peaks")],
    "broken_training/below-zero": [("sets_every_rate", "the learning rate is -1.* of its peak")],
    "broken_training/starts-again": [("goes_on_from_a_checkpoint", "the learning rates are")],
    # Metrics.
    "broken_metrics/not-a-metric": [("gives_finite_figures", "built a function, not a Metric")],
    "broken_metrics/tensor-figure": [("gives_finite_figures", r"the value of '' is tensor\(0.5")],
    "broken_metrics/infinite-figure": [
        ("gives_finite_figures", r"the value of '' is \[1.0, nan, inf\]")
    ],
    "broken_metrics/no-figure": [("gives_finite_figures", "compute returns no values")],
    "broken_metrics/averages-means": [("merging_equals_a_single_pass", "merged from 1 and 3")],
    "broken_metrics/drops-the-other": [("merging_equals_a_single_pass", "in a single pass")],
    "broken_metrics/unpicklable-state": [("merging_equals_a_single_pass", "pickle")],
    "broken_metrics/consumes-its-state": [
        ("looking_changes_nothing", "computing in between changes the result")
    ],
    "broken_metrics/remembers": [("reset_forgets", "after a reset it still knows")],
}
KINDS = (
    "broken_plain",
    "broken_backbones",
    "broken_datasets",
    "broken_tasks",
    "broken_metrics",
    "broken_commands",
    "broken_training",
)

PARAMS = {param.id: param.values[0] for param in plugin_checks("sound", *KINDS, prefer=["mean"])}
CASES = [(name, *case) for name, cases in EXPECTED.items() for case in cases]


@pytest.mark.parametrize(
    "name, check, reason", CASES, ids=[f"{name}-{check}" for name, check, _ in CASES]
)
def test_it_is_rejected_for_the_right_reason(name: str, check: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason) as caught:
        PARAMS[f"{name}-{check}"]()
    if reason != "pickle":
        told = (AssertionError, MmftError, TypeError, ValueError)
        assert isinstance(caught.value, told), repr(caught.value)


def test_no_broken_component_is_forgotten_here() -> None:
    components = {name.rpartition("-")[0] for name in PARAMS} - set(KINDS)
    assert {name for name in components if name.startswith("broken")} == set(EXPECTED) - set(KINDS)


def test_every_check_has_rejected_something() -> None:
    kinds = (common, backbones, datasets, tasks, metrics, commands, optimizers, schedules)
    lists = ("PLUGIN_CHECKS", "CHECKS", "OPTION_CHECKS", "PART_CHECKS", "BUNDLED_CHECKS")
    checks = {c.__name__ for kind in kinds for name in lists for c in getattr(kind, name, ())}
    assert {check for cases in EXPECTED.values() for check, _ in cases} == checks


PASSING = [
    "broken_backbones/layer-forgotten",
    "broken_backbones/padding-counts",
    "broken_backbones/hidden-state",
    "broken_tasks/idle-parameter",
    "broken_tasks/too-few-records",
    "broken_metrics/averages-means",
    "broken_datasets/id-twice",
]


@pytest.mark.parametrize("name", PASSING)
def test_all_other_checks_pass_where_one_fault_is_all_there_is(name: str) -> None:
    (rejecting,) = {check for check, _ in EXPECTED[name]}
    for id_, check in PARAMS.items():
        component, _, check_name = id_.rpartition("-")
        if component == name and check_name != rejecting:
            check()


def test_a_fault_that_every_check_meets_is_told_once() -> None:
    ended: dict[str, list[str]] = {"failed": [], "skipped": []}
    for param in plugin_checks("sound", *KINDS, prefer=["mean"]):
        if param.id.startswith(("broken_tasks/tuple-", "broken_backbones/not-a-backbone-")):
            try:
                param.values[0]()
            except pytest.skip.Exception:
                ended["skipped"].append(param.id)
            except Exception:
                ended["failed"].append(param.id)
    assert ended["failed"] == [
        "broken_backbones/not-a-backbone-builds_without_network",
        "broken_tasks/tuple-loss_is_finite",
    ]
    assert len(ended["skipped"]) > 15


def test_checks_are_waived_with_their_reason() -> None:
    waived = {"graphs_are_of_any_batch": "no exports", "sound/mean-same_seed_same_weights": "odd"}
    marked = {p.id: p.marks for p in plugin_checks("sound", prefer=["mean"], skip=waived)}
    (mark,) = marked["sound/mean-same_seed_same_weights"]
    assert mark.name == "skip" and mark.kwargs == {"reason": "odd"}
    assert any(m.name == "skip" for m in marked["sound/sign-cls-graphs_are_of_any_batch"])
    assert not marked["sound/mean-weights_survive_saving"]
    with pytest.raises(MmftError, match="no check 'graphs_of_any_batch'. Did you mean"):
        plugin_checks("sound", skip={"graphs_of_any_batch": "no exports"})
