"""The model registry: groups, packages with versions and approval, tags."""

from __future__ import annotations

import time

from pipeline.errors import ServiceError
from pipeline.local import names
from pipeline.local.operations.answers import Operations, answer, matching, page, pick, remove_tags, save_tags
from pipeline.local.operations.requests import check, check_name, one_of
from pipeline.local.operations.tokens import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from pipeline.local.store import Record

APPROVALS = ("Approved", "Rejected", "PendingManualApproval")
_GROUP, _PACKAGE = "model-package-group", "model-package"
_NOT_IN_A_GROUP = ("Tags", "CertifyForMarketplace")  # the service refuses both for a versioned package
_MOST_METADATA = 50
_PACKAGE_SUMMARY = (
    *("ModelPackageName", "ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "ModelPackageDescription"),
    *("CreationTime", "ModelPackageStatus", "ModelApprovalStatus", "ModelLifeCycle", "ModelPackageRegistrationType"),
)
_UPDATABLE = (
    *("ModelApprovalStatus", "ModelPackageRegistrationType", "ApprovalDescription", "InferenceSpecification"),
    *("SourceUri", "ModelCard", "ModelLifeCycle"),
)


class Registry(Operations):
    def create_model_package_group(self, **request: Any) -> dict[str, Any]:
        check("CreateModelPackageGroup", request)
        name = request["ModelPackageGroupName"]
        check_name("CreateModelPackageGroup", "ModelPackageGroupName", name)
        arn = names.arn(_GROUP, name)
        if self.store.find(_GROUP, name):
            message = f"Model Package Group already exists: {arn}"
            raise ServiceError("ValidationException", message, "CreateModelPackageGroup")
        body = {key: value for key, value in request.items() if key != "Tags"}
        self.store.add(_GROUP, name, {**body, "latest": 0}, status="Completed", arn=arn)
        save_tags(self.store, arn, request.get("Tags", ()))
        return {"ModelPackageGroupArn": arn}

    def describe_model_package_group(self, **request: Any) -> dict[str, Any]:
        check("DescribeModelPackageGroup", request)
        group = self._package_group(request["ModelPackageGroupName"], "DescribeModelPackageGroup")
        return answer({**_group_summary(group), "CreatedBy": {}})

    def list_model_package_groups(self, **request: Any) -> dict[str, Any]:
        operation = "ListModelPackageGroups"
        check(operation, request)
        other_accounts = request.get("CrossAccountFilterOption") == "CrossAccount"
        records = [] if other_accounts else matching(self.store.list(_GROUP), request)
        shown, more = page(operation, records, request)
        return {"ModelPackageGroupSummaryList": [answer(_group_summary(group)) for group in shown], **more}

    def delete_model_package_group(self, **request: Any) -> dict[str, Any]:
        check("DeleteModelPackageGroup", request)
        with self.store.transaction():
            group = self._package_group(request["ModelPackageGroupName"], "DeleteModelPackageGroup")
            if count := len(self.store.list(_PACKAGE, f"{group.name}/")):
                message = f"Model Package Group {group.arn} holds {count} model packages: delete them first"
                raise ServiceError("ConflictException", message, "DeleteModelPackageGroup")
            self.store.remove(_GROUP, group.name)
            remove_tags(self.store, group.arn)
        return {}

    def create_model_package(self, **request: Any) -> dict[str, Any]:
        """In a group the version counts up and never comes again, also when a package was deleted."""
        operation = "CreateModelPackage"
        check(operation, request)
        if "ModelApprovalStatus" in request:
            one_of(operation, "ModelApprovalStatus", request["ModelApprovalStatus"], APPROVALS)
        _check_metadata(operation, request.get("CustomerMetadataProperties", {}))
        return self._once(operation, request, self._create_package)

    def _create_package(self, request: Mapping[str, Any]) -> dict[str, Any]:
        operation, group, name = (
            "CreateModelPackage",
            request.get("ModelPackageGroupName"),
            request.get("ModelPackageName"),
        )
        if group and name:
            message = "Both ModelPackageName and ModelPackageGroupName are provided in the input."
            raise ServiceError("ValidationException", f"{message} Cannot determine which one to use.", operation)
        if group:
            return {"ModelPackageArn": self._add_package_version(group, request)}
        if name:
            return {"ModelPackageArn": self._add_unversioned_package(name, request)}
        raise ServiceError("ValidationException", "Missing ARN.", operation)

    def _once(
        self, operation: str, request: Mapping[str, Any], work: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """With the same ClientToken again nothing is done, and the first answer given."""
        given = {key: value for key, value in request.items() if key != "ClientToken"}
        return once(self.store, operation, request.get("ClientToken", ""), given, lambda: work(given))[0]

    def _add_package_version(self, group: str, request: Mapping[str, Any]) -> str:
        refused = [member for member in _NOT_IN_A_GROUP if request.get(member)]
        if refused:
            message = f"a model package in a group takes no {' and no '.join(refused)}: put tags on the group"
            raise ServiceError("ValidationException", message, "CreateModelPackage")
        group = _short_name(group)
        with self.store.transaction():
            version = self._package_group(group, "CreateModelPackage").body["latest"] + 1
            self.store.change(_GROUP, group, {"latest": version})
            body = {**request, "ModelPackageGroupName": group, "ModelPackageVersion": version}
            return self._add_package(f"{group}/{version}", {"ModelApprovalStatus": "PendingManualApproval", **body})

    def _add_unversioned_package(self, name: str, request: Mapping[str, Any]) -> str:
        check_name("CreateModelPackage", "ModelPackageName", name)
        arn = names.arn(_PACKAGE, name)
        if self.store.find(_PACKAGE, name):
            raise ServiceError("ConflictException", f"Model Package already exists: {arn}", "CreateModelPackage")
        save_tags(self.store, arn, request.get("Tags", ()))
        return self._add_package(name, request)

    def _add_package(self, name: str, request: Mapping[str, Any]) -> str:
        arn = names.arn(_PACKAGE, name)
        body = {key: value for key, value in request.items() if key not in ("Tags", "ClientToken")}
        body |= {"ModelPackageName": name, "ModelPackageArn": arn, "CreationTime": time.time()}
        body |= {"ModelPackageStatus": "Completed", "ModelPackageStatusDetails": {"ValidationStatuses": []}}
        self.store.add(_PACKAGE, name, body, status="Completed", arn=arn)
        return arn

    def describe_model_package(self, **request: Any) -> dict[str, Any]:
        check("DescribeModelPackage", request)
        return answer(self._package(request["ModelPackageName"], "DescribeModelPackage").body)

    def list_model_packages(self, **request: Any) -> dict[str, Any]:
        """Without a group the service lists unversioned packages; ModelPackageType Both lists everything."""
        operation = "ListModelPackages"
        check(operation, request)
        group = request.get("ModelPackageGroupName")
        kind = request.get("ModelPackageType", "Versioned" if group else "Unversioned")
        one_of(operation, "ModelPackageType", kind, ("Versioned", "Unversioned", "Both"))
        if group:
            group = self._package_group(group, operation).name
        approval = request.get("ModelApprovalStatus")
        records = [
            record
            for record in self.store.list(_PACKAGE, f"{group}/" if group else "")
            if kind in ("Both", "Versioned" if "/" in record.name else "Unversioned")
            and approval in (None, record.body.get("ModelApprovalStatus"))
        ]
        shown, more = page(operation, matching(records, request), request)
        return {"ModelPackageSummaryList": [answer(pick(r.body, *_PACKAGE_SUMMARY)) for r in shown], **more}

    def update_model_package(self, **request: Any) -> dict[str, Any]:
        """Merges CustomerMetadataProperties; every other member replaces what was there."""
        operation = "UpdateModelPackage"
        check(operation, request)
        if "ModelApprovalStatus" in request:
            one_of(operation, "ModelApprovalStatus", request["ModelApprovalStatus"], APPROVALS)
        return self._once(operation, request, self._update_package)

    def _update_package(self, request: Mapping[str, Any]) -> dict[str, Any]:
        operation = "UpdateModelPackage"
        with self.store.transaction():
            package = self._package(request["ModelPackageArn"], operation)
            metadata = {
                key: value
                for key, value in package.body.get("CustomerMetadataProperties", {}).items()
                if key not in request.get("CustomerMetadataPropertiesToRemove", ())
            } | request.get("CustomerMetadataProperties", {})
            _check_metadata(operation, metadata)
            changes = {
                **pick(request, *_UPDATABLE),
                "CustomerMetadataProperties": metadata,
                "LastModifiedTime": time.time(),
            }
            if added := request.get("AdditionalInferenceSpecificationsToAdd"):
                changes["AdditionalInferenceSpecifications"] = [
                    *package.body.get("AdditionalInferenceSpecifications", ()),
                    *added,
                ]
            self.store.change(_PACKAGE, package.name, changes)
        return {"ModelPackageArn": package.arn}

    def delete_model_package(self, **request: Any) -> dict[str, Any]:
        check("DeleteModelPackage", request)
        package = self._package(request["ModelPackageName"], "DeleteModelPackage")
        self.store.remove(_PACKAGE, package.name)
        remove_tags(self.store, package.arn)
        return {}

    def add_tags(self, **request: Any) -> dict[str, Any]:
        check("AddTags", request)
        self._check_resource(request["ResourceArn"], "AddTags")
        return {"Tags": _tags(save_tags(self.store, request["ResourceArn"], request["Tags"]))}

    def list_tags(self, **request: Any) -> dict[str, Any]:
        """All of them at once: a resource has 50 tags at most."""
        check("ListTags", request)
        self._check_resource(request["ResourceArn"], "ListTags")
        found = self.store.find("tags", request["ResourceArn"])
        return {"Tags": _tags(found[0].body) if found else []}

    def delete_tags(self, **request: Any) -> dict[str, Any]:
        check("DeleteTags", request)
        arn = request["ResourceArn"]
        self._check_resource(arn, "DeleteTags")
        with self.store.transaction():
            for record in self.store.find("tags", arn):
                self.store.put("tags", arn, {k: v for k, v in record.body.items() if k not in request["TagKeys"]})
        return {}

    def _package_group(self, name: str, operation: str) -> Record:
        found = self.store.find(_GROUP, _short_name(name))
        if not found:
            message = f"ModelPackageGroup {names.arn(_GROUP, _short_name(name))} does not exist."
            raise ServiceError("ValidationException", message, operation, "darkroom models")
        return found[0]

    def _package(self, name: str, operation: str) -> Record:
        """By name, `group/version` or ARN."""
        found = self.store.find(_PACKAGE, _short_name(name))
        if not found:
            message = f"ModelPackage {names.arn(_PACKAGE, _short_name(name))} does not exist."
            raise ServiceError("ValidationException", message, operation)
        return found[0]

    def _check_resource(self, arn: str, operation: str) -> None:
        known = "SELECT 1 FROM records WHERE arn=? UNION ALL SELECT 1 FROM executions WHERE arn=? LIMIT 1"
        if not self.store.query(known, arn, arn):
            raise ServiceError("ResourceNotFound", f"there is nothing with the ARN {arn!r}", operation)


def _short_name(name: str) -> str:
    """'arn:aws:…:model-package/group/3' → 'group/3'; a name stays as it is."""
    return name.partition("/")[2] if name.startswith("arn:") else name


def _group_summary(group: Record) -> dict[str, Any]:
    return {
        **pick(group.body, "ModelPackageGroupName", "ModelPackageGroupDescription"),
        "ModelPackageGroupArn": group.arn,
        "CreationTime": group.created,
        "ModelPackageGroupStatus": group.status,
    }


def _check_metadata(operation: str, metadata: Mapping[str, str]) -> None:
    if len(metadata) > _MOST_METADATA:
        message = f"CustomerMetadataProperties holds {len(metadata)} entries; the service takes {_MOST_METADATA}"
        raise ServiceError("ValidationException", message, operation)


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
