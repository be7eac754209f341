"""What a process does at the signals that ask it to stop."""

import signal

import pytest

from gansearch.system import signals

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def send(signum):
    signal.raise_signal(signum)


@pytest.mark.parametrize("signum", ALL)
def test_each_signal_to_stop_is_raised_as_a_ctrl_c_and_the_handlers_come_back(signum):
    before = signal.getsignal(signum)
    with pytest.raises(KeyboardInterrupt), signals.raised():
        send(signum)
    assert signal.getsignal(signum) is before


def test_others_can_ask_whether_a_stop_was_raised_until_it_is_handled():
    with pytest.raises(KeyboardInterrupt), signals.raised():
        assert not signals.is_raised()
        try:
            send(signal.SIGTERM)
        finally:
            assert signals.is_raised()
    assert not signals.is_raised()


@pytest.mark.parametrize("signum", ALL)
def test_a_deferred_signal_lets_a_block_end_and_is_raised_then(signum):
    done = []
    with pytest.raises(KeyboardInterrupt), signals.deferred():
        send(signum)
        done.append(signum)
    assert done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_python_drops_in_a_callback_is_raised_again():
    class Dropping:
        def __del__(self):
            send(signal.SIGTERM)

    with signals.raised():
        Dropping()
        with pytest.raises(KeyboardInterrupt):
            signals.raise_again()


def test_a_deferred_signal_does_not_hide_an_error():
    with pytest.raises(OSError, match="disk"), signals.deferred():
        send(signal.SIGTERM)
        raise OSError("disk")


def test_a_signal_while_an_error_is_dealt_with_does_not_hide_that_error():
    with pytest.raises(OSError, match="disk"):
        try:
            raise OSError("disk")
        except OSError:
            with signals.deferred():
                send(signal.SIGTERM)
            raise


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_the_caller_ignores_stays_ignored_as_under_nohup(signum):
    before = signal.signal(signum, signal.SIG_IGN)
    try:
        with signals.raised():
            send(signum)
        assert signal.getsignal(signum) is signal.SIG_IGN
    finally:
        signal.signal(signum, before)
