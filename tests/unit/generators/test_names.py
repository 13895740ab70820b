from generators.names import display_name


def test_a_name_is_the_same_for_the_same_account_and_seed():
    """Else one demo would call a customer by two names."""
    first = display_name(0, seed=1)
    other = display_name(1, seed=1)
    display_name.cache_clear()
    assert (display_name(1, seed=1), display_name(0, seed=1)) == (other, first)
    assert first != other
    assert display_name(0, seed=2) != first
