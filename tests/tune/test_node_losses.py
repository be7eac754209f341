"""When there is a warning about a node that loses workers."""

from gansearch.tune.node_losses import NodeLosses


def warnings(nodes):
    losses = NodeLosses()
    return [losses.count(node) for node in nodes]


def test_a_node_is_named_once_with_its_address_and_losses_at_the_third():
    first, second, third, fourth = warnings(["192.0.2.7"] * 4)
    assert (first, second, fourth) == (None, None, None)
    assert third.startswith("node 192.0.2.7 has lost the workers of trials 3 times, all others ")
    assert "together 0. " in third and third.endswith("by `ray stop` on it.")


def test_losses_that_are_spread_over_the_nodes_name_none():
    assert not any(warnings(["a", "b", "c"] * 5))
    assert not any(warnings(["a", "b", "c", "d"] * 5))


def test_a_node_is_named_as_soon_as_it_has_more_than_all_others_together():
    found = warnings(["a", "b", "c", "b", "b"])
    assert found[:4] == [None] * 4
    assert "node b has lost the workers of trials 3 times, all others together 2." in found[4]
