import pytest

from pipeline import cache_keys

REQUEST = {
    "AppSpecification": {"ImageUri": "i", "ContainerArguments": ["--a", "1"]},
    "Environment": {"X": "1"},
    "ProcessingInputs": [{"InputName": "code", "S3Input": {"S3Uri": "s3://b/1/"}}],
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large"}},
    "RoleArn": "r",
}


def test_only_documented_attributes_are_compared():
    other = {**REQUEST, "RoleArn": "another", "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.c5.large"}}}
    assert cache_keys.key("Processing", REQUEST) == cache_keys.key("Processing", other)


@pytest.mark.parametrize("attribute", ["AppSpecification", "Environment", "ProcessingInputs"])
def test_each_documented_attribute_of_processing_is_compared(attribute):
    without = {key: value for key, value in REQUEST.items() if key != attribute}
    assert cache_keys.key("Processing", REQUEST) != cache_keys.key("Processing", without)


def test_of_a_tuning_definition_only_the_documented_members_count():
    trial = {"StaticHyperParameters": {"a": "1"}, "StoppingCondition": {"MaxRuntimeInSeconds": 60}}
    longer = {**trial, "StoppingCondition": {"MaxRuntimeInSeconds": 99}}
    other = {**trial, "StaticHyperParameters": {"a": "2"}}
    keys = [cache_keys.key("Tuning", {"TrainingJobDefinition": t}) for t in (trial, longer, other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_difference_names_the_place():
    changed = {
        **REQUEST,
        "Environment": {"Y": "1"},
        "ProcessingInputs": [{"InputName": "code", "S3Input": {"S3Uri": "s3://b/2/"}}],
    }
    found = cache_keys.differences(cache_keys.key("Processing", REQUEST), cache_keys.key("Processing", changed))
    assert found == ["Environment.X", "Environment.Y", "ProcessingInputs[0].S3Input.S3Uri"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("P30D", 2592000),
        ("PT1H", 3600),
        ("30d", 2592000),
        ("P1DT12H", 129600),
        ("T30m", 1800),
        ("p2w", 1209600),
        ("", float("inf")),
    ],
)
def test_durations(text, seconds):
    assert cache_keys.expiry_seconds(text) == seconds


@pytest.mark.parametrize("text", ["P", "1", "PT", "one day", "P1H", "-P1D"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError):
        cache_keys.expiry_seconds(text)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"Type": "Training", "CacheConfig": {"Enabled": True}}, True),
        ({"Type": "Training", "CacheConfig": {"Enabled": False}}, False),
        ({"Type": "Training"}, False),
        ({"Type": "RegisterModel", "CacheConfig": {"Enabled": True}}, False),
        ({"Type": "Lambda", "CacheConfig": {"Enabled": True}}, False),
    ],
)
def test_which_steps_take_part(step, expected):
    assert cache_keys.enabled(step) is expected
