"""Public classes of scikit-learn that don't convert: why, and what to take instead."""

from __future__ import annotations

_CLUSTERS = (
    "it labels the rows it was fitted on and has no predict for new ones",
    "Use KMeans, or fit a classifier on its labels_.",
)
_PLACES = (
    "it places the rows it was fitted on and has no transform for new ones",
    "Use PCA, or fit a regressor on its embedding_.",
)
_COVARIANCE = (
    "it estimates a covariance and answers nothing about a row",
    "Use EllipticEnvelope to find outliers.",
)
_TARGETS = (
    "it encodes targets, and a model file takes columns",
    "Fit the classifier on the labels themselves; for a column of X use OrdinalEncoder.",
)
_ITERATES = (
    "its transform searches anew for each row, in a loop that ends by a tolerance",
    "Use PCA or TruncatedSVD.",
)
_HASHES = (
    "it hashes words with MurmurHash3, which ONNX has no operator for",
    "Use OneHotEncoder, or CountVectorizer for text.",
)
_GRAPHS = (
    "it gives neighbours by their places in the training data, not an answer",
    "Use KNeighborsClassifier or KNeighborsRegressor.",
)
_LOCAL = (
    "its transform solves a system of equations for the neighbours of each row",
    "Use PCA or KernelPCA.",
)
_ONE_ROW = (
    "its transform of a single row loses a dimension, so that no model behind it answers one",
    "Use PCA, TruncatedSVD or FactorAnalysis.",
)

# Why, and the nearest choice that works.
UNSUPPORTED: dict[str, tuple[str, str]] = {
    "AgglomerativeClustering": _CLUSTERS,
    "BernoulliRBM": (
        "its hidden units aren't known to convert exactly",
        "Use PCA, or MLPClassifier and MLPRegressor, which learn their hidden units too.",
    ),
    "ClassicalMDS": _PLACES,
    "DBSCAN": _CLUSTERS,
    "DictVectorizer": (
        "it takes dicts, and a model file takes columns",
        "Make a DataFrame of the dicts, and use OneHotEncoder for its strings.",
    ),
    "DictionaryLearning": _ITERATES,
    "EmpiricalCovariance": _COVARIANCE,
    "FeatureAgglomeration": (
        "its pooling_func may be any function",
        "Use PCA, or SelectKBest to keep some of the columns.",
    ),
    "FeatureHasher": _HASHES,
    "GraphicalLasso": _COVARIANCE,
    "GraphicalLassoCV": _COVARIANCE,
    "HDBSCAN": _CLUSTERS,
    "HashingVectorizer": _HASHES,
    "Isomap": _LOCAL,
    "KNeighborsTransformer": _GRAPHS,
    "KernelDensity": (
        "it scores rows and has neither predict nor transform",
        "Use GaussianMixture, or IsolationForest to find outliers.",
    ),
    "LabelBinarizer": _TARGETS,
    "LabelEncoder": _TARGETS,
    "LatentDirichletAllocation": _ITERATES,
    "LedoitWolf": _COVARIANCE,
    "LocallyLinearEmbedding": _LOCAL,
    "MDS": _PLACES,
    "MinCovDet": _COVARIANCE,
    "MiniBatchDictionaryLearning": _ITERATES,
    "MiniBatchNMF": _ITERATES,
    "MiniBatchSparsePCA": _ONE_ROW,
    "MultiLabelBinarizer": _TARGETS,
    "NMF": _ITERATES,
    "NearestNeighbors": _GRAPHS,
    "OAS": _COVARIANCE,
    "OPTICS": _CLUSTERS,
    "PatchExtractor": (
        "it cuts images into patches, which gives other rows than it got",
        "Cut the images before calling the model.",
    ),
    "RadiusNeighborsTransformer": _GRAPHS,
    "ShrunkCovariance": _COVARIANCE,
    "SparseCoder": _ITERATES,
    "SparsePCA": _ONE_ROW,
    "SpectralBiclustering": _CLUSTERS,
    "SpectralClustering": _CLUSTERS,
    "SpectralCoclustering": _CLUSTERS,
    "SpectralEmbedding": _PLACES,
    "TSNE": _PLACES,
}
