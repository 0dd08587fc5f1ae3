"""Files in which the parts of texts are labeled, one module a format, to tags of units.

    sentence        what the readers of formats give: words with tags, or a text with spans
    conll, conllu, word_lines, json_spans, brat     the formats
    tag_sequences   tags of words in the schemes of others to spans
    joining         words to a text and their places in it
    offsets         what the ends of given spans count, and how they become characters
    laying          spans of characters to one tag a unit, or the reason why not
    survey          what all files have in common: what their tags say, what the units are, how tags are written
    reading         all files to rows

It knows no model.
"""
