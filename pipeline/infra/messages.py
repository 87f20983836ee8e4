"""The two topics, for whoever approves and for the team, and the key that encrypts what they carry."""

from __future__ import annotations

from pipeline.infra.intrinsics import Json, admission, arn, either, over_tls, policy, ref, service, sub

APPROVER, TEAM = "ApproverTopic", "TeamTopic"
_TITLES = {APPROVER: "models that wait for approval", TEAM: "failures and alarms"}
_ADDRESSES = {APPROVER: "ApproverEmail", TEAM: "TeamEmail"}
_CONDITIONS = {APPROVER: "HasApprover", TEAM: "HasTeam"}
# What an account does with its own key. No kms:*, and nothing that uses the key: only the two services do.
_ADMINISTRATION = (
    *("CancelKeyDeletion", "DescribeKey", "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation"),
    *("GetKeyPolicy", "GetKeyRotationStatus", "ListKeyPolicies", "ListResourceTags", "PutKeyPolicy"),
    *("ScheduleKeyDeletion", "TagResource", "UntagResource", "UpdateKeyDescription"),
)


def resources() -> Json:
    return {
        "MessagesKey": _key(),
        **{topic: _topic(topic) for topic in _TITLES},
        f"{APPROVER}Policy": _topic_policy(APPROVER),
        f"{TEAM}Policy": _topic_policy(TEAM),
        **{f"{topic}Subscription": _subscription(topic) for topic in _TITLES},
    }


def _key() -> Json:
    """A key of one's own: EventBridge and CloudWatch cannot use aws/sns, which admits nobody else."""
    root = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
    publishers = {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]}
    use = ["kms:Decrypt", "kms:GenerateDataKey"]
    document = policy(
        admission(root, "Administration", [f"kms:{action}" for action in _ADMINISTRATION], "*"),
        admission(publishers, "Publishers", use, "*"),
    )
    return {
        "Type": "AWS::KMS::Key",
        "Condition": "MakesMessagesKey",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "Description": sub("Messages of ${AWS::StackName}"),
            "EnableKeyRotation": True,
            "KeyPolicy": document,
        },
    }


def _topic(topic: str) -> Json:
    return {
        "Type": "AWS::SNS::Topic",
        "Properties": {
            "DisplayName": f"darkroom: {_TITLES[topic]}",
            "KmsMasterKeyId": either("MakesMessagesKey", arn("MessagesKey"), ref("MessagesKeyArn")),
        },
    }


def _topic_policy(topic: str) -> Json:
    """EventBridge brings no context that a condition of a topic's policy could ask for: its statement has none."""
    statements = [
        admission(service("events"), "Events", "sns:Publish", ref(topic)),
        over_tls("sns:Publish", ref(topic)),
    ]
    if topic == TEAM:
        ours = sub("arn:${AWS::Partition}:cloudwatch:${AWS::Region}:${AWS::AccountId}:alarm:${AWS::StackName}-*")
        condition = {"ArnLike": {"aws:SourceArn": ours}}
        statements.append(admission(service("cloudwatch"), "Alarms", "sns:Publish", ref(topic), condition))
    return {
        "Type": "AWS::SNS::TopicPolicy",
        "Properties": {"Topics": [ref(topic)], "PolicyDocument": policy(*statements)},
    }


def _subscription(topic: str) -> Json:
    return {
        "Type": "AWS::SNS::Subscription",
        "Condition": _CONDITIONS[topic],
        "Properties": {"TopicArn": ref(topic), "Protocol": "email", "Endpoint": ref(_ADDRESSES[topic])},
    }
