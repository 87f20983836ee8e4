"""A model, and two of them compared, for programs: SageMaker's own member names where it has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.control import health
from pipeline.models.comparison import Change, Comparison, Figure
from pipeline.models.dossier import Dossier
from pipeline.models.evaluation import Paired
from pipeline.models.jobs import Job, archive
from pipeline.models.prepared import Split


def model(dossier: Dossier) -> dict[str, Any]:
    """DescribeModelPackage, and what else is known; null and empty where it is not, with the reason in NotKnown."""
    found, origin = dossier.evaluation, dossier.origin
    return {
        **dossier.package,
        "Accuracy": found.accuracy,
        "AccuracyInterval": found.interval,
        "TestPictures": found.count,
        "Metrics": dict(found.metrics or {}),
        "PerClass": [
            {"Class": each.name, "Count": each.count, "Precision": each.precision, "Recall": each.recall, "F1": each.f1}
            for each in found.classes
        ],
        "Calibration": _calibration(dossier),
        "Champion": _paired(found.paired),
        "Health": health.in_full(dossier.health),
        "PipelineExecutionArn": origin.execution or None,
        "PipelineVersionId": origin.version,
        "Commit": origin.commit or None,
        "PipelineParameters": dict(origin.parameters),
        "TrainingJob": _job(origin.training),
        "EvaluationJob": _job(origin.evaluation),
        "TrainingData": _split(origin.train),
        "TestData": _split(origin.test),
        "Code": dict(origin.code),
        "Archive": {"ModelDataUrl": archive(dossier.package) or None, "SizeInBytes": dossier.size},
        "Endpoints": [
            {
                "EndpointName": each.endpoint,
                "EndpointStatus": each.status,
                "Machines": each.machine,
                "Weight": each.weight,
                "ServedBy": each.by,
            }
            for each in dossier.endpoints
        ],
        "NewestApprovedOther": dossier.champion or None,
        "NotKnown": dict(dossier.gaps.reasons),
    }


def comparison(found: Comparison) -> dict[str, Any]:
    """Differences are Model minus Other; null where the two were not judged on the same pictures."""
    return {
        "Model": _side(found.one),
        "Other": _side(found.other),
        "SameTestPictures": found.same_test,
        "Because": found.because,
        "Metrics": _figures(found.figures),
        "Recall": _figures(found.classes),
        "ClassesApart": _changes(found.classes_apart),
        "Paired": _paired(found.paired),
        "HyperParameters": _changes(found.settings),
        "PipelineParameters": _changes(found.parameters),
        "MadeBy": _changes(found.made),
        "Data": _changes(found.data),
        "Code": _changes(found.code),
        "Files": [
            {
                "Program": each.step,
                "Added": list(each.added),
                "Removed": list(each.removed),
                "Changed": list(each.changed),
                "Problem": each.problem or None,
            }
            for each in found.files
        ],
    }


def _side(dossier: Dossier) -> dict[str, Any]:
    return {
        "ModelPackageArn": dossier.arn,
        "ModelPackageGroupName": dossier.group,
        "ModelPackageVersion": dossier.version,
        "ModelApprovalStatus": dossier.status,
        "AccuracyInterval": dossier.evaluation.interval,
        "TestPictures": dossier.evaluation.count,
        "NotKnown": dict(dossier.gaps.reasons),
    }


def _calibration(dossier: Dossier) -> dict[str, Any] | None:
    found = dossier.evaluation.calibration
    if found is None:
        return None
    errors = {"ErrorBefore": found.before, "ErrorAfter": found.after}
    return {"Temperature": found.temperature, "InTheModel": found.in_the_model, **errors}


def _paired(found: Paired | None) -> dict[str, Any] | None:
    if found is None:
        return None
    compared = bool(found.verdict)
    return {
        "ModelPackageArn": found.champion or None,
        "Compared": compared,
        "Verdict": found.verdict or None,
        "Difference": found.difference if compared else None,
        "Interval": found.interval if compared else None,
        "RightHereOnly": found.right_here_only,
        "RightThereOnly": found.right_there_only,
        "SameData": found.same_data,
        "Regressions": list(found.regressions),
    }


def _job(job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    figures = {"FinalMetrics": dict(job.metrics), "Seconds": job.seconds}
    return {
        "Name": job.name,
        "Image": job.image,
        "Machines": job.machine,
        "HyperParameters": dict(job.settings),
        **figures,
    }


def _split(split: Split | None) -> dict[str, Any] | None:
    if split is None:
        return None
    return {
        "S3Uri": split.address,
        "Kind": split.kind,
        "SourceDigest": split.source,
        "PicturesDigest": split.pictures,
        "Count": split.count,
        "Settings": dict(split.settings),
    }


def _figures(rows: Iterable[Figure]) -> list[dict[str, Any]]:
    return [{"Name": each.name, "Model": each.one, "Other": each.other, "Difference": each.difference} for each in rows]


def _changes(rows: Iterable[Change]) -> list[dict[str, Any]]:
    return [{"Name": each.name, "Model": each.one or None, "Other": each.other or None} for each in rows]
