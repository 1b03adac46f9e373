"""Settings of the learned interest encoder: its form (``model``), its training (``train``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from recsys.section import Section, Share


class ModelSettings(Section):
    """The form of the learned interest encoder; fixed by a bundle."""

    n_half_lives: PositiveInt = 8
    """H, learned half-lives of positive evidence; another kernel takes more where it needs them."""
    n_negative_half_lives: PositiveInt = 2
    """Hn, learned half-lives of negative evidence; another kernel takes as many as of positive."""
    n_queries: PositiveInt = 1
    """Q, query vectors of a user; an item is scored by the nearest one."""
    n_hidden: PositiveInt = 128
    """Width of the hidden layers of the event value and of the readout."""
    readout: Literal["mlp", "linear"] = "mlp"
    """``linear`` asks for a weighted sum of the decayed means and takes events at their item's
    direction: no hidden layer stands between a half-life and what is asked for."""
    fades: bool = True
    """Whether what is asked for fades while a user is away; False = a taste stays as it was."""
    use_text: bool = True
    """Whether item vectors are read from text."""
    use_id: bool = True
    """Whether items with events have a residual of their own."""
    use_trend: bool = True
    """Whether trend is a part of the score."""
    use_transitions: bool = True
    """Whether pairs of items (``recsys.transitions``) are a part of the score."""
    n_transition_items: PositiveInt = 4_000
    """Most items that transitions know, the most frequent ones; memory grows with the square."""
    n_transition_events: PositiveInt = 32
    """Latest events of a user that transitions start from."""
    transition_ridge: PositiveFloat = 50.0
    """Weight of the penalty on transitions."""
    item_profile: bool = False
    """Whether the decayed mean of what those asked for who chose an item (``recsys.item_side``) is
    a part of the score, if the pilot finds it better; in evaluation only, no bundle can hold it."""
    learn_half_lives: bool = True
    """False keeps the half-lives where they begin: at quantiles of the log's time gaps."""
    kernel: Literal["exponential", "hyperbolic", "power_law"] = "exponential"
    """Law of forgetting; the other two are fixed mixtures of a bank of exponentials, for positive
    and negative evidence alike, whose time scale is that of the log's own gaps."""


class TrainSettings(Section):
    """How the learned interest encoder is trained."""

    stage: Literal["frozen", "lora", "full"] = "frozen"
    """``frozen`` reads cached text vectors; ``lora`` and ``full`` train the language model too."""
    seed: int = 17
    """Seed of every draw in training."""
    n_epochs: PositiveInt = 16
    """Most passes over the log."""
    patience: PositiveInt = 4
    """Epochs without a better validation NDCG@10 after which the pilot stops."""
    pilot: bool = True
    """Learn first from the events before the validation tail, to choose the number of epochs and
    the stale share; False takes ``n_epochs`` and the first of ``stale_shares`` as they are."""
    refit: bool = True
    """Train again on everything, the tail too, for as many epochs as were best in the pilot."""
    budget_s: PositiveFloat | None = None
    """Seconds after which training stops with the best it has; None = no limit. They count from
    the command's start, Ray's start and reading included, but leave at least ten for training;
    publishing comes on top."""
    batch_events: PositiveInt = 1_024
    """Events in one step of all workers together."""
    max_event_texts: NonNegativeInt = 200_000
    """Most distinct texts of events (searches, comments) that training reads, the most frequent
    ones, at 1.5 kB of memory each (384 dimensions); other texts are passed over. 0 = none is read.
    The model reads any text in serving, unless it learned from none."""
    max_events: PositiveInt = 2_048
    """Longest run of one user's history that is trained on at once; the rest is more runs."""
    learning_rate: PositiveFloat = 3e-3
    """Highest rate of AdamW, reached after a tenth of the steps."""
    half_life_rate: PositiveFloat = 5.0
    """How much faster the logs of the half-lives learn."""
    text_learning_rate: PositiveFloat = 1e-4
    """Rate for the language model's weights in ``lora`` and ``full``."""
    weight_decay: NonNegativeFloat = 0.01
    """Of AdamW, for matrices."""
    dropout: Share = 0.2
    """In the event value and the readout."""
    id_dropout: Share = 0.05
    """Share of the items that a step sees as if they had just been born, so that text alone can
    serve: without residual, trend or transitions, whatever the cutoff."""
    event_dropout: Share = 0.0
    """Share of the events of a history that a step does not see."""
    history: Literal["strict", "ordered", "mixed"] = "strict"
    """What a target is predicted from: events of earlier times, earlier events by ``seq``, or
    either by turns."""
    targets: Literal["new", "all"] = "new"
    """What is predicted: items that the user had not touched before, or every positive event."""
    full_softmax_below: PositiveInt = 50_000
    """Catalogs smaller than this are trained with all items as candidates."""
    n_negatives: PositiveInt = 4_096
    """Candidates drawn per step where the catalog is larger; corrected by logQ."""
    stale_shares: tuple[Share, ...] = (0.5,)
    """Shares of chunks with a virtual cutoff; of several, the pilot picks the best."""
    stale_span: PositiveFloat = 0.2
    """Oldest virtual cutoff before a chunk's end, as a share of the log's span."""
    mute_share: Share = 0.3
    """Share of the items that a step sees without their trend where they are cold, as on the day
    they are born."""
    n_validation_queries: PositiveInt = 2_000
    """Queries drawn from the validation tail."""
    lora_rank: PositiveInt = 8
    """Rank of the adapters."""
    lora_alpha: PositiveFloat = 16.0
    """Scale of the adapters."""
    lora_dropout: Share = 0.05
    """Dropout in the adapters."""
    lora_targets: tuple[str, ...] = ()
    """Names of the linear layers that get adapters; empty = the attention's, by architecture."""
    n_text_rows: PositiveInt = 256
    """Most item texts that one step back-propagates into the language model."""
    refresh_every: PositiveInt = 200
    """Steps after which the vectors of all item texts are computed anew in ``lora``/``full``."""
    gradient_checkpointing: bool = False
    """Compute activations of the language model twice, to hold less of them."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Numbers in the forward pass; weights stay fp32."""
    min_workers: PositiveInt = 1
    """Fewest workers that training goes on with."""
    max_workers: PositiveInt = 1
    """Most workers that training uses when the cluster has room."""
    cpus_per_worker: PositiveFloat = 1.0
    """Logical CPUs of a worker."""
    use_gpu: bool = False
    """One GPU for each worker."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Every worker holds the whole model, or a share of it."""
    max_failures: Annotated[int, Field(ge=-1)] = -1
    """Lost workers after which the run fails; -1 = never."""
    checkpoint_every_s: PositiveFloat = 60.0
    """Seconds between checkpoints."""
    n_checkpoints: PositiveInt = 2
    """Checkpoints kept."""
    mlflow_uri: str | None = None
    """MLflow tracking server, or a folder as ``file:///path``, that gets the figures too; needs the
    extra ``mlflow``."""
    n_log_steps: NonNegativeInt = 20
    """Steps between two reports of loss; 0 = once an epoch."""
