# The names of standard jq that formats may use, as far as they are not native.
# None is recursive; `reduce`, `foreach`, `range` and the operators that update are not available.

def empty: {}[] as $x | .;
def error: error_empty as $x | .;
def error(message): (message | error_empty) as $x | .;

def true: 0 == 0;
def false: 0 != 0;
def null: [][0];
def not: if . then false else true end;
def select(f): if f then . else empty end;
def recurse: ..;

def values: select(. != null);
def strings: select(type == "string");
def numbers: select(type == "number");
def booleans: select(type == "boolean");
def arrays: select(type == "array");
def objects: select(type == "object");

def tostring: "\(.)";
def map(f): [.[] | f];
def first: .[0];
def last: .[-1];
def isempty(g): first((g | false), true);
def any(g; f): isempty(g | f or empty) | not;
def all(g; f): isempty(g | f and empty);
def any(f): any(.[]; f);
def all(f): all(.[]; f);
def any: any(.[]; .);
def all: all(.[]; .);
def add(f): [f] | add;
def keys: keys_unsorted | sort;
def to_entries: [key_values[] as [$key, $value] | {$key, $value}];
def with_entries(f): to_entries | map(f) | from_entries;
def split($separator): . / $separator;
def unique_by(f): [group_by(f)[] | .[0]];
def unique: unique_by(.);
def in($object): . as $key | $object | has($key);
