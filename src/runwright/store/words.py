"""What contents have in common, in English and in JSON: the dictionary that small blobs are compressed with.

It belongs to the codec `WORDS`: another dictionary is another codec, for blobs that are stored stay as they are.
"""

from __future__ import annotations

from typing import Final

from runwright.core.deflate import Deflate

_DICTIONARY: Final = (
    b"information available description following application because different important example question provide "
    b"process number should between through against without already before another every under where which would "
    b"could their there these those about after again first other since still while until above below however "
    b"therefore possible problem results system services requests response messages content function parameters values "
    b"errors status name type data user files list time date orders account customer product price support company "
    b"please thank sorry help need want know think make take give find look work use used using can't don't doesn't "
    b"isn't I'm you're it's that's I've you can you have it is they are we will this is that the there is there are "
    b"If you would like let me know For example, As a result, In addition, such as as well as in order to based on "
    b"because of a number of one of the some of the at the end of the is not are not does not has been have been "
    b'will be can be should be may be must be need to able to used to going to "id": "name": "type": "status": '
    b'"title": "date": "url": "https://www.com/\\"id\\":\\"\\",\\"name\\":\\"\\",\\"type\\":\\"\\",\\"status\\":\\"\\",'
    b'\\"title\\":\\"\\",\\"url\\":\\"https://\\",\\"text\\":\\":true,\\":false,\\":null}},{"2025-2026-01T00:00:00Z'
    b"\\n1. **\\n2. **\\n3. **\\n- **:** \\n\\n## \\n### \\n```python\\n```json\\n|---|---|\\n| "
    b"to the in the for the by the and the that the on the with the from the of the of a in a to a is a as a with a "
    b'for a , and , but , which , or . The . This . It . In . If . You . A . We . I . \\n\\n{"role":"assistant",'
    b'"content":"{"role":"user","content":"'
)

WORDS: Final = Deflate(_DICTIONARY)
"""Packs contents of some hundred or thousand bytes."""
