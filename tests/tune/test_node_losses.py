"""When a node is named for the workers that it loses."""

from gansearch.tune.node_losses import NodeLosses


def warnings(nodes):
    losses = NodeLosses()
    return [losses.count(node) for node in nodes]


def test_a_node_is_named_once_with_its_address_and_losses_at_the_third():
    first, second, third, fourth = warnings(["192.0.2.7"] * 4)
    assert (first, second, fourth) == (None, None, None)
    assert third.startswith("node 192.0.2.7 has lost the workers of trials 3 times, all others ")
    assert "together 0. " in third and third.endswith("ray stop, there.")


def test_losses_that_are_spread_over_the_nodes_name_none():
    assert not any(warnings(["a", "b", "c"] * 5))
    assert not any(warnings(["a", "b", "c", "d"] * 5))


def test_a_node_is_named_as_soon_as_it_has_more_than_all_others_together():
    told = warnings(["a", "b", "c", "b", "b"])
    assert told[:4] == [None] * 4
    assert "node b has lost the workers of trials 3 times, all others together 2." in told[4]
