"""What SageMaker Debugger knows by name: its rules, its evaluators' accounts, smdebug's collections."""

from __future__ import annotations

# smdebug_rulesconfig 1.0.1: ruleConfigs.json and profiler_rules/rules.py; a test compares
DEBUGGER_RULES = frozenset(
    {
        *("VanishingGradient", "ExplodingTensor", "PoorWeightInitialization", "SaturatedActivation", "DeadRelu"),
        *("WeightUpdateRatio", "AllZero", "TensorVariance", "UnchangedTensor", "ClassImbalance", "Confusion"),
        *("LossNotDecreasing", "Overfit", "Overtraining", "StalledTrainingRule", "SimilarAcrossRuns"),
        *("CheckInputImages", "NLPSequenceRatio", "TreeDepth", "FeatureImportanceOverweight", "CreateXgboostReport"),
    }
)
PROFILER_RULES = frozenset(
    {
        *("ProfilerReport", "BatchSize", "CPUBottleneck", "Dataloader", "GPUMemoryIncrease", "IOBottleneck"),
        *("LoadBalancing", "LowGPUUtilization", "MaxInitializationTime", "OverallSystemUsage", "StepOutlier"),
        "OverallFrameworkMetrics",  # in AWS's guide alone
    }
)
# smdebug.core.collection, of every framework
COLLECTIONS = frozenset(
    {
        *("default", "all", "inputs", "outputs", "weights", "gradients", "losses", "biases", "layers", "sm_metrics"),
        *("optimizer_variables", "tensorflow_summaries", "metrics", "hyperparameters", "predictions", "labels"),
        *("feature_importance", "average_shap", "full_shap", "trees"),
    }
)
INTERVALS = (100, 200, 500, 1000, 5000, 60_000)  # API reference, ProfilerConfig
REPOSITORY = "sagemaker-debugger-rules"
# Region → AWS's account, as the SDK's image_uris has them: importing that takes seconds, and a test compares.
EVALUATORS = {
    "af-south-1": "314341159256",
    "ap-east-1": "199566480951",
    "ap-northeast-1": "430734990657",
    "ap-northeast-2": "578805364391",
    "ap-northeast-3": "479947661362",
    "ap-south-1": "904829902805",
    "ap-southeast-1": "972752614525",
    "ap-southeast-2": "184798709955",
    "ca-central-1": "519511493484",
    "cn-north-1": "618459771430",
    "cn-northwest-1": "658757709296",
    "eu-central-1": "482524230118",
    "eu-north-1": "314864569078",
    "eu-south-1": "563282790590",
    "eu-west-1": "929884845733",
    "eu-west-2": "250201462417",
    "eu-west-3": "447278800020",
    "me-south-1": "986000313247",
    "sa-east-1": "818342061345",
    "us-east-1": "503895931360",
    "us-east-2": "915447279597",
    "us-gov-west-1": "515509971035",
    "us-west-1": "685455198987",
    "us-west-2": "895741380848",
}
