# The names of standard jq that formats may use, as far as they are not native.
# None is recursive; `reduce`, `foreach`, `range` and the operators that update are not available.

def error(message): message | error;
def recurse: ..;
def first: .[0];
def last: .[-1];
def any: any(.);
def all: all(.);
def add(f): [f] | add;
def keys: keys_unsorted | sort;
def with_entries(f): to_entries | map(f) | from_entries;
def unique_by(f): [group_by(f)[] | .[0]];
def in($object): . as $key | $object | has($key);
