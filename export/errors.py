"""What can go wrong with an export.

ExportError
├── UnknownFamily     no such model family is known; the message lists those that are
├── CheckpointError   the folder is not a complete diffusers checkpoint of the family
├── RepositoryError   the model repository cannot be written
├── ParityError       an exported graph does not compute what its torch module computes
└── PlanError         there is no such GPU, or the model does not make videos or images of that size
"""


class ExportError(Exception):
    """Base of every error that ends an export; its text is a sentence for the person who ran it."""


class UnknownFamily(ExportError):
    pass


class CheckpointError(ExportError):
    pass


class RepositoryError(ExportError):
    pass


class ParityError(ExportError):
    pass


class PlanError(ExportError):
    pass
