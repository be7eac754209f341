"""The number of configurations of a space, against all of them one by one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gansearch.space.counting import configurations, n_configurations
from gansearch.space.search_space import SearchSpace

ACTIVATIONS = ["maxout", "leaky_relu", "relu"]
# Parameters that depend on others by a condition of the space, or of the family's table, and the
# parameters that decide.
ENTRIES = {
    "k": {"int": [1, 4]},
    "noise_dim": {"int": [2, 10], "step": 4},
    "noise": {"choice": ["uniform", "normal"]},
    "discriminator_activation": {"choice": ACTIVATIONS},
    "maxout_pieces": {"int": [2, 3]},
    "optimizer": {"choice": ["sgd", "adam"]},
    "adam_beta1": {"choice": [0.0, 0.5, 0.9]},
    "generator_widths": {"choice": [[8], [8, 8], [16]]},
    "batch_size": {"choice": [10, 20], "when": {"k": [2, 4]}},
    "dropout_input": {"choice": [0.0, 0.2], "when": {"noise": "normal", "generator_widths": [[8]]}},
}
NEEDS = {"batch_size": {"k"}, "dropout_input": {"noise", "generator_widths"}}


def space_of(search, **sections):
    return SearchSpace.from_dict({"dataset": "digits", "search": search, **sections})


def n_distinct(space):
    return len({config.config_id for config in configurations(space)})


@settings(max_examples=15, deadline=None)
@given(st.sets(st.sampled_from(sorted(ENTRIES)), min_size=1, max_size=3))
def test_the_number_is_that_of_the_distinct_configurations(names):
    names |= set().union(*(NEEDS.get(name, set()) for name in names))
    # A parameter that can't have an effect is refused.
    names |= {"optimizer"} if "adam_beta1" in names else set()
    names |= {"discriminator_activation"} if "maxout_pieces" in names else set()
    space = space_of({name: ENTRIES[name] for name in names})
    found = [config.config_id for config in configurations(space)]
    assert n_configurations(space) == len(set(found)) == len(found)


def test_a_condition_is_counted_only_where_it_holds():
    search = {name: ENTRIES[name] for name in ("discriminator_activation", "maxout_pieces")}
    space = space_of(search | {"k": {"int": [1, 7], "step": 3}})
    assert n_configurations(space) == (3 + 1) * 3 == n_distinct(space)


def test_one_float_makes_the_number_infinite_unless_it_is_fixed():
    search = {"k": {"int": [1, 2]}, "generator_lr": {"float": [0.01, 0.1]}}
    assert n_configurations(space_of(search)) is None
    assert n_configurations(space_of({"k": {"int": [1, 2]}}, fixed={"generator_lr": 0.05})) == 2


def test_a_float_that_never_applies_leaves_the_number_finite():
    # Each condition can hold, and never both: k is searched where the noise is uniform alone.
    search = {
        "noise": {"choice": ["uniform", "normal"]},
        "k": {"int": [1, 3], "when": {"noise": "uniform"}},
        "generator_lr": {"float": [0.01, 0.1], "when": {"noise": "normal", "k": 2}},
    }
    assert n_configurations(space_of(search)) == 4 == n_distinct(space_of(search))


def test_large_ranges_are_counted_without_trying_their_values():
    search = {
        "noise_dim": {"int": [1, 60_000]},
        "batch_size": {"int": [1, 10_000]},
        "k": {"int": [1, 50], "when": {"noise_dim": [7, 8]}},
    }
    assert n_configurations(space_of(search)) == 10_000 * (59_998 + 2 * 50)
