"""Earlier studies, read and never written: their trials as the journal tells them.

May be asked of a study that is being run: a last line that is not whole yet is left out.
"""

from pathlib import Path

from search.errors import StudyFailed
from search.records import Record, record_of


def read_records(folder: Path) -> list[Record]:
    """Return all trials of a study, in the order of their numbers.

    Raises:
        StudyFailed: the journal is missing, empty or damaged.
    """
    from search.journal import open_journal

    path = folder / "journal.log"
    if not path.is_file() or not path.stat().st_size:
        raise StudyFailed(f"{path} is missing or empty: there is no trial to read")
    study, _ = open_journal(path)
    return [record_of(trial) for trial in study.get_trials(deepcopy=False)]


def ranked(records: list[Record]) -> list[Record]:
    """Return the trials that count, the best first; of equals the one with the lower number."""
    counting = [record for record in records if record.counts]
    return sorted(counting, key=lambda record: (-record.val_accuracy, record.number))
