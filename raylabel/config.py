"""The campaign TOML as typed models: one sentence under each field, defaults that work, unknown keys refused.

Knows nothing of files, storage, models or Ray: names of strategies and backbones are checked where they are known.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Pool(_Section):
    """The images to be labeled."""

    path: str
    """Images, Parquet files or WebDataset tars, one file or a folder of them, or a list of URIs; local or s3://."""
    format: Literal["auto", "parquet", "folder", "webdataset", "list"] = "auto"
    """What lies there; "auto" looks. A list in Parquet must be named so; one .csv or .jsonl file is a list anyway."""
    image_column: str = "image"
    """Parquet: encoded images, binary or struct<bytes, path>. Tars: an extension, "image" for the first image."""
    uri_column: str = "uri"
    """Lists: local paths, s3:// or http(s):// URIs; a relative one starts at the folder that the list lies in."""
    id_column: str | None = None
    """Unique ids. Parquet: without one `id` if there is such a column, else `path#row`. Lists: without one the URI."""
    label_column: str | None = None
    """The oracle labeler's column, in tars an extension, as "cls"; a folder's oracle reads the parent folder's name."""
    metadata_columns: tuple[str, ...] = ()
    """Columns that labeling functions are given beside `id`; of Parquet and lists, as other kinds have none."""
    max_pixels: Positive = 50_000_000
    """Images with more pixels are quarantined before they are decoded."""
    decode_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Images that take longer to decode are quarantined."""
    quarantine_limit: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The run ends with exit code 3 if more than this share of the pool was unreadable."""


class Backbone(_Section):
    """The image encoder."""

    name: str = "mobilenet_v3_small"
    """A torchvision classification model, "tiny_cnn", or your own function: "module:function", "file.py:function"."""
    weights: str = "DEFAULT"
    """One of torchvision's weight names, a local or s3:// file (.safetensors, .pth), or "none" (random, seeded)."""
    options: dict[str, str | int | float | bool] = {}
    """Keyword arguments of a backbone function of your own."""
    image_size: Positive = 224
    """Images are resized to this many pixels a side."""
    fit: Literal["crop", "squash"] = "crop"
    """"crop" keeps the aspect ratio and cuts the longer side; "squash" keeps every pixel and bends the ratio."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from pixels in [0, 1]."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divides pixels after the mean is subtracted."""


class Budget(_Section):
    """What people are asked for."""

    train_answers: Positive = 500
    """Answers that the model learns from, spread evenly over the rounds."""
    audit_answers: Count = 400
    """Answers for the audit sample, all asked for in round 0; 0 means no certificate and no machine labels."""
    second_looks: Count = 0
    """Training answers that the model doubts and asks people again, at most, spread over the rounds after the first."""
    rounds: Positive = 5
    """At most this many rounds."""
    end_when_unpaid: bool = False
    """End the loop, after 3 rounds at least, where one more is forecast to cost more answers than it saves people."""


class Sampling(_Section):
    """Who to ask next."""

    strategy: str = "auto"
    """The strategy of every round that has a model; "auto" decides each round; "rare:cat" looks for that class."""
    cold_start: str = "herding"
    """The strategy of round 0, which has none."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.97
    """Of items alike, by the cosine of their centred embeddings, one is asked; 1 leaves all but exact copies alone."""
    max_candidates: Positive = 50_000
    """Exact strategies see at most this many items, chosen by one pass over the pool."""


class Labeling(_Section):
    """Who answers."""

    labeler: Literal["files", "oracle"] = "files"
    """"files": people, by `raylabel review`, or `export` and `import`; "oracle": the pool's own labels."""
    wait: Literal["exit", "poll"] = "exit"
    """Until the answers are there: "exit" with code 10 and run again later, or "poll"."""
    poll_s: Annotated[float, Field(gt=0)] = 30.0
    """Seconds between two looks for answers."""
    answers_per_item: Positive = 1
    """So many people answer each item, and one more where they are tied or, on the review page, none can tell."""
    consensus: Literal["majority", "dawid_skene"] = "majority"
    """Several answers of an item: the most named label, or each weighed by how often its annotator errs."""
    gold: str | None = None
    """A sheet on this machine, .csv or .jsonl: `id` and `label` of items to ask among the others, to measure people."""
    gold_every: Annotated[int, Field(ge=2)] = 20
    """One of so many questions is about a gold item."""

    @field_validator("gold")
    @classmethod
    def _check(cls, gold: str | None) -> str | None:
        if gold is not None and ("://" in gold or not gold.endswith((".csv", ".jsonl"))):
            raise ValueError(
                f"labeling.gold: {gold!r} is no .csv or .jsonl file on this machine; leave it out for none"
            )
        return gold


class Weak(_Section):
    """Labeling functions, whose votes help the model while answers are few; they are never answers themselves."""

    functions: tuple[str, ...] = ()
    """Your own, "module:function" or "file.py:function": columns of a batch in, a class or None for each item out."""

    @field_validator("functions")
    @classmethod
    def _check(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        short = [name.rsplit("/", 1)[-1] for name in names]
        if twice := sorted({name for name in short if short.count(name) > 1}):
            raise ValueError(f"weak.functions: {twice[0]!r} stands there twice; rename a function or its file")
        return names


class Training(_Section):
    """The model that is fitted on the answers."""

    finetune_at: tuple[Count, ...] = ()
    """Rounds in which the whole backbone is tuned with Ray Train; the pool is then embedded again."""
    epochs: Positive = 5
    """Fine-tuning: passes over the answers."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Fine-tuning: peak learning rate of AdamW."""
    batch_size: Positive = 32
    """Fine-tuning: images a step, all workers together."""
    flip: bool = True
    """Fine-tuning: mirror half of the images left to right."""
    num_workers: Positive = 1
    """Fine-tuning: data-parallel workers."""


class Acceptance(_Section):
    """What is promised about the machine's labels."""

    max_error: Fraction = 0.05
    """At most this share of the labels is wrong ..."""
    alpha: Fraction = 0.05
    """... with confidence 1 - alpha, over all rounds together."""
    promise: Literal["auto", "whole"] = "auto"
    """Wrong among the auto-labels, or wrong auto-labels among the whole pool."""
    confidence: Literal["learned", "vector", "temperature", "softmax"] = "learned"
    """What labels are ranked by: learned of held-out answers, their likeness among it; or a softmax, scaled or not."""
    looks: Literal["every", "last"] = "every"
    """"every": certify each round, with alpha / rounds a look; "last": once, when the loop ends, with all of alpha."""
    audit: Literal["uniform", "targeted"] = "uniform"
    """"targeted" draws a seventh of the audit at first, the rest at the end, where the threshold will fall."""
    by_class: bool = False
    """Certify each predicted class apart, each with a threshold of its own, all of them with confidence 1 - alpha."""
    target_coverage: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Stop early once this share of the pool is answered or accepted; wants looks = "every"."""
    flat_rounds: Positive = 3
    """Stop early after this many rounds without a better cross-fitted accuracy."""


class Compute(_Section):
    """Where and how the work runs; what this changes in a result is kept in the workspace's numeric profile."""

    address: str | None = None
    """A running Ray cluster ("auto", or ray://...); without one a session is started on this machine."""
    workers: Positive | None = None
    """Model actors; by default one for each GPU, or for each core where there is no GPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the backbone runs."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the backbone computes in; "auto" measures once, when the campaign begins."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether the backbone goes through torch.compile, which costs a minute a run; "auto" does on a GPU."""
    batch_size: Positive | None = None
    """Images the backbone sees at once; by default 32 on a CPU and 256 on a GPU."""
    gpu_decode: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the shards whose JPEGs the GPU decodes itself (nvJPEG), beside the CPUs; by default none."""
    decode: Literal["auto", "local", "tasks"] = "auto"
    """Images are decoded by the model's own actor ("local") or in tasks on any node ("tasks", as GPUs want it)."""


class Config(_Section):
    """One campaign."""

    workspace: str
    """Where everything the campaign makes lies: a local folder or an s3:// prefix."""
    classes: tuple[str, ...]
    """The names of the classes, in the order of their index."""
    seed: Count = 0
    """Everything random comes from this number."""
    pool: Pool
    backbone: Backbone = Backbone()
    budget: Budget = Budget()
    sampling: Sampling = Sampling()
    labeling: Labeling = Labeling()
    weak: Weak = Weak()
    training: Training = Training()
    acceptance: Acceptance = Acceptance()
    compute: Compute = Compute()

    @model_validator(mode="after")
    def _check(self) -> Config:
        if len(self.classes) < 2:
            raise ValueError(f"classes: at least 2 are needed, got {len(self.classes)}")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        if twice:
            raise ValueError(f"classes: {twice[0]!r} stands there twice")
        if self.budget.train_answers < self.budget.rounds:
            raise ValueError(
                f"budget.train_answers: {self.budget.train_answers} for {self.budget.rounds} rounds; "
                "give at least one answer a round, or fewer rounds"
            )
        if self.budget.second_looks and self.budget.rounds == 1:
            raise ValueError(
                "budget.second_looks: one round leaves none to look again in; give it two, or no second look"
            )
        if self.acceptance.looks == "last" and self.acceptance.target_coverage < 1:
            raise ValueError(
                'acceptance.target_coverage: with looks = "last" the loop cannot know that its target is met; '
                'set looks = "every" or leave the target out'
            )
        if self.acceptance.audit == "targeted" and (self.acceptance.looks == "every" or self.acceptance.by_class):
            raise ValueError(
                'acceptance.audit: "targeted" draws once, at the end, for one threshold; set looks = "last" and '
                'by_class = false, or audit = "uniform"'
            )
        most, largest = self.sampling.max_candidates, max(self.round_sizes())
        if largest > most:
            raise ValueError(
                f"sampling.max_candidates: {most} are fewer than the {largest} answers of a round; "
                "raise it, or ask for them in more rounds"
            )
        beyond = [r for r in self.training.finetune_at if r >= self.budget.rounds]
        if beyond:
            raise ValueError(f"training.finetune_at: round {beyond[0]} of {self.budget.rounds} (numbered from 0)")
        return self

    def num_looks(self) -> int:
        """How many looks at the audit there may be, all together."""
        return self.budget.rounds if self.acceptance.looks == "every" else 1

    def alpha_per_look(self) -> float:
        """What one look at the audit may spend, so that all looks together spend alpha."""
        return self.acceptance.alpha / self.num_looks()

    def split_audit(self, num_answers: int) -> tuple[int, int]:
        """How many of so many audit answers are for the first draw, and how many for the second."""
        if self.acceptance.audit == "uniform" or num_answers < 2:
            return num_answers, 0
        first = max(round(num_answers / 7), 1)
        return first, num_answers - first

    def round_sizes(self) -> list[int]:
        """Training answers asked for in each round: as even as can be, the first rounds take what is over."""
        return _spread(self.budget.train_answers, self.budget.rounds)

    def second_look_sizes(self) -> list[int]:
        """Training answers asked for again in each round, at most; none in the first."""
        later = self.budget.rounds - 1
        return [0, *(_spread(self.budget.second_looks, later) if later else ())]


def _spread(count: int, rounds: int) -> list[int]:
    each, over = divmod(count, rounds)
    return [each + (number < over) for number in range(rounds)]
