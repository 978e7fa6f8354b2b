"""What programs of others say of the exports of the example reports.

Called by `cargo xtask ci --only evidence` with the folder that the example `export_all` wrote and the repository's root.
Prints one line a claim; ends with 1 if one does not hold.
"""

import email
import email.policy
import json
import mailbox
import pathlib
import subprocess
import sys

import jsonschema
import pymisp
import stix2validator
import xarf as xarf_of_others
from stix2patterns.v21.pattern import Pattern

FAILED = []
EXTENSION = "extension-definition--d6727f74-be95-44d4-9b89-3ad2b227a25e"


def claim(name, problems):
    """Says whether a claim holds: it does if there is nothing against it."""
    problems = list(problems)
    print(f"{'FAILED' if problems else 'ok':<7} {name}" + "".join(f"\n          {one}" for one in problems[:5]))
    FAILED.extend(problems)


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def stix(folder, root):
    path = folder / "stix.json"
    # 103: identifiers of version 5 are allowed (STIX 2.1 §2.9), and make two exports equal.
    options = stix2validator.ValidationOptions(strict=True, enforce_refs=True, disabled="103", version="2.1")
    results = stix2validator.validate_file(str(path), options)
    for result in results.object_results:
        yield from (str(error) for error in result.errors)
        yield from (str(warning) for warning in result.warnings)
    if not results.is_valid:
        yield "the bundle is not valid"
    schema = read(root / "docs/schemas/stix-extension-ddos-application-layer.json")
    judge = jsonschema.Draft202012Validator(schema)
    own = 0
    for thing in read(path)["objects"]:
        mine = thing.get("extensions", {}).get(EXTENSION)
        if mine is not None:
            own += 1
            yield from (f"{thing['id']}: {error.message}" for error in judge.iter_errors(mine))
            yield from (f"{key} is not in the published schema" for key in mine if key not in schema["properties"])
        if thing["type"] == "indicator":
            Pattern(thing["pattern"])
    if own < 100:
        yield f"only {own} objects carry the extension"


def misp(folder, root):
    event = pymisp.MISPEvent()
    event.load_file(str(folder / "misp.json"))
    said = read(folder / "misp.json")["Event"]
    again = pymisp.MISPEvent()
    again.from_json(event.to_json())
    for got in (event, again):
        if [len(got.attributes), len(got.objects), len(got.tags)] != [len(said[key]) for key in ("Attribute", "Object", "Tag")]:
            yield "parts were lost on loading"
        if [one.value for one in got.attributes] != [one["value"] for one in said["Attribute"]]:
            yield "values changed on loading"
    kinds = event.describe_types["category_type_mappings"]
    for one in said["Attribute"] + [one for thing in said["Object"] for one in thing["Attribute"]]:
        if one["type"] not in kinds[one["category"]]:
            yield f"{one['type']} does not belong to {one['category']}"
        if one["to_ids"]:
            yield f"{one['value']} would be blocked by machines"
    of_misp = pathlib.Path(pymisp.__file__).parent / "data/misp-objects"
    own = read(root / "docs/schemas/misp-object-ddos-application-layer.json")
    jsonschema.validate(own, read(of_misp / "schema_objects.json"))
    definitions = {one["name"]: one for one in (own, read(of_misp / "objects/ddos/definition.json"))}
    for thing in said["Object"]:
        definition = definitions[thing["name"]]
        if (thing["template_uuid"], thing["template_version"]) != (definition["uuid"], str(definition["version"])):
            yield f"{thing['name']} has another definition than it says"
        relations = [one["object_relation"] for one in thing["Attribute"]]
        if not set(relations) & set(definition["requiredOneOf"]):
            yield f"{thing['name']} has nothing of what is required"
        for one in thing["Attribute"]:
            field = definition["attributes"].get(one["object_relation"])
            if field is None or field["misp-attribute"] != one["type"]:
                yield f"{thing['name']} has no {one['object_relation']} of type {one['type']}"
            elif relations.count(one["object_relation"]) > 1 and not field.get("multiple"):
                yield f"{thing['name']} has more than one {one['object_relation']}"


def xarf(folder, root):
    reports = read(folder / "xarf.json")
    for one in reports:
        # Without `strict`: that wants packets and bits per second, which nobody counted.
        result = xarf_of_others.parse(json.dumps(one))
        yield from (f"{error.field}: {error.message}" for error in result.errors)
        yield from (f"{warning.field}: {warning.message}" for warning in result.warnings)
        if not isinstance(result.report, xarf_of_others.DdosReport):
            yield f"{one['report_id']} is not read as a report of DDoS"
    mails = [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in sorted(folder.glob("xarf-*.eml"))]
    box = mailbox.mbox(folder / "xarf.mbox", create=False)
    boxed = [email.message_from_bytes(box.get_bytes(key), policy=email.policy.default) for key in box.keys()]
    for found in (mails, boxed):
        attached = []
        for mail in found:
            if mail.defects or any(part.defects for part in mail.walk()):
                yield f"{mail['subject']}: {mail.defects}"
            kinds = [part.get_content_type() for part in mail.iter_parts()]
            if kinds != ["text/plain", "message/feedback-report", "application/json"]:
                yield f"{mail['subject']} has the parts {kinds}"
                continue
            if sorted(mail.keys()) != ["Content-Type", "From", "MIME-Version", "Subject", "X-Unsent"]:
                yield f"{mail['subject']} has the fields {mail.keys()}"
            attached.append(json.loads(list(mail.iter_parts())[2].get_payload(decode=True)))
        if attached != reports:
            yield "the mails have other reports than the array"


def figures(folder, root):
    """What a board reads in the PDF and on the page are the sums of the record."""
    totals = read(folder / "totals.json")
    arguments = ["pdftotext", "-layout", str(folder / "report.pdf"), "-"]
    said = subprocess.run(arguments, capture_output=True, check=True, timeout=30).stdout.decode()
    page = (folder / "report.html").read_text(encoding="utf-8")
    for key in ("requests", "refused", "tests_set"):
        figure = f"{totals[key]:,}"
        yield from (f"{figure} {key} are not in the {name}" for name, text in [("PDF", said), ("page", page)] if figure not in text)


def published(name, values, root):
    """What a published schema says of values; that it is a schema is a claim as well."""
    schema = read(root / "docs/schemas" / name)
    jsonschema.Draft202012Validator.check_schema(schema)
    judge = jsonschema.Draft202012Validator(schema)
    count = 0
    for place, value in enumerate(values):
        count += 1
        yield from (f"{place}: {error.json_path}: {error.message}" for error in judge.iter_errors(value))
    if count == 0:
        yield "there is nothing to judge"


def main():
    out, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    folders = sorted(folder for folder in out.iterdir() if folder.is_dir())
    if not folders:
        FAILED.append("there is nothing to judge")
    for folder in folders:
        for name, judge in [("figures", figures), ("STIX 2.1", stix), ("MISP", misp)]:
            claim(f"{folder.name}: {name}", judge(folder, root))
        claim(f"{folder.name}: JSON", published("report-1.json", [read(folder / "report.json")], root))
        if folder.name.endswith("-sealed"):
            claim(f"{folder.name}: XARF v4", xarf(folder, root))
    lines = (out / "record.jsonl").read_text(encoding="utf-8").splitlines()
    claim("record", published("record-1.json", map(json.loads, lines), root))
    sys.exit(1 if FAILED else 0)


main()
