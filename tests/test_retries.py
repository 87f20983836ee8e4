import pytest

from pipeline.local.retries import Retries

FAULT = "Step.SERVICE_FAULT"
JOB = "SageMaker.JOB_INTERNAL_ERROR"


def pauses(policies, *types):
    retries = Retries(policies)
    return [retries.pause_after(name) for name in types]


def test_the_pause_grows_by_the_backoff_until_the_attempts_are_used_up():
    policy = {"ExceptionType": [FAULT], "IntervalSeconds": 2, "BackoffRate": 3.0, "MaxAttempts": 2}
    assert pauses([policy], FAULT, FAULT, FAULT) == [2.0, 6.0, None]


def test_without_numbers_there_are_five_attempts_after_1_2_4_8_16_seconds():
    assert pauses([{"ExceptionType": [FAULT]}], *[FAULT] * 6) == [1.0, 2.0, 4.0, 8.0, 16.0, None]


def test_each_policy_counts_its_own_attempts():
    policies = [{"ExceptionType": [FAULT], "MaxAttempts": 1}, {"ExceptionType": [JOB], "MaxAttempts": 1}]
    assert pauses(policies, FAULT, JOB, FAULT, JOB) == [1.0, 1.0, None, None]


def test_the_first_policy_that_names_the_error_decides():
    policies = [{"ExceptionType": [FAULT], "MaxAttempts": 1}, {"ExceptionType": [FAULT], "MaxAttempts": 9}]
    assert pauses(policies, FAULT, FAULT) == [1.0, None]


def test_an_expiry_ends_them():
    assert pauses([{"ExceptionType": [FAULT], "ExpireAfterMin": -1}], FAULT) == [None]


def test_an_expiry_in_the_future_limits_no_number():
    assert None not in pauses([{"ExceptionType": [FAULT], "ExpireAfterMin": 60}], *[FAULT] * 9)


@pytest.mark.parametrize("policies", [[], [{"ExceptionType": [FAULT]}]])
def test_an_error_of_the_script_is_never_tried_again(policies):
    assert pauses(policies, "") == [None]
