# What formats have in common, in standard jq: put in front of a format, it runs with any jq.

# One value or an array of them: some forwarders send each element as a delivery of its own.
def one_or_many: if type == "array" then .[] else . end;

# The elements of an array with their index; nothing for anything else.
def enumerated: if type == "array" then to_entries[] else empty end;

# A word for severity in any case, to one of informational, low, medium, high, critical; null for any other word.
def severity_word:
  if type == "string" then
    (ascii_downcase | trim) as $word
    | {"informational": "informational", "info": "informational", "low": "low", "medium": "medium", "moderate": "medium",
       "high": "high", "critical": "critical"}[$word]
  else null end;
