"""What training refuses.

TrainingError
├── StateMismatch   a saved state belongs to another plan or another model
└── Diverged        the loss is no longer a finite number
"""


class TrainingError(Exception):
    """Base of every error of this package; the message says what to do."""


class StateMismatch(TrainingError):
    """The state in the folder was saved by a stage with other settings."""


class Diverged(TrainingError):
    """The loss became infinite or not a number."""
