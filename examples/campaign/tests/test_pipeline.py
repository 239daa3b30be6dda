"""From a file of contacts to their first texts, and back to a file."""


from job_runners.testing.files import upload
from job_runners.testing.job_runner import InlineRunner

CSV = b"first_name,last_name,cell\nAnn,Lee,2125550123\nBob,Ray,2125550124\nCat,Fox,none\n"


def test_a_file_becomes_contacts_texts_and_a_file(job_runner: InlineRunner) -> None:
    key = upload("contacts.csv", CSV)
    done = job_runner.run("import_contacts", {"campaign": "spring", "key": key})
    assert done.result["imported"] == 2, done
