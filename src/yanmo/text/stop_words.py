"""Function words of English and Chinese that say little about a text's subject; data only.

Written for this project. Negations (not, never, 不, 没有, 别) and words of degree or contrast that carry sentiment
(very, but, too, 很, 太, 但是) are left out on purpose: without them a review may mean its opposite.
"""

from __future__ import annotations

__all__ = ["STOP_WORDS_EN", "STOP_WORDS_ZH"]

_ENGLISH = """
a an the this that these those
i me my mine myself you your yours yourself yourselves he him his himself she her hers herself it its itself
we us our ours ourselves they them their theirs themselves one ones
who whom whose which what when where why how
am is are was were be been being have has had having do does did doing done
will would shall should can could may might must ought
and or as if then than so because since while until although though whether
of at by for with about into onto through during before after above below to from in out on off over under between
among within upon toward towards via per
again further once here there both each other another such same own
also just only some any
i'm you're he's she's it's we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd
i'll you'll he'll she'll it'll we'll they'll that's there's here's what's who's where's how's let's
"""

_CHINESE = """
的 地 得 了 着 过 之 所 者 们 把 被 给 让 向 往 从 自 自从 由 于 在 到 以 对 对于 关于 至于 跟 和 与 及
以及 同 并 并且 而 而且 或 或者 还是 则 即 即使 因 因为 因此 所以 由于 如 如果 假如 若 若是 要是 只要 只有
既 既然 虽 虽然 尽管 无论 不管 不论 除了 除非 为 为了 按 按照 根据 依照 通过 经 经过 随着 沿着 朝 当 当时
是 就是 也是 都是 便是 有 有的 有些 也 又 再 就 才 都 便 还 已 已经 曾 曾经 正在 将 将要 会 能 能够 可
可以 应 应该 该 我 你 您 他 她 它 我们 你们 他们 她们 它们 咱 咱们 自己 别人 大家 人家 本 这 那 这个 那个
这些 那些 这里 那里 这儿 那儿 这样 那样 这么 那么 此 此外 其 其中 其他 其它 其余 各 各个 各种 每 每个 某
某个 某些 另 另外 什么 谁 哪 哪个 哪些 哪里 怎么 怎样 如何 何 几 多少 为什么 吗 呢 吧 啊 呀 哦 嗯 哎 嘛 啦
哇 喔 一 一个 一些 一种 一样 一下 个 些 种 等 等等 之一 之间 之后 之前 以后 以前 以来 然后 于是 接着 例如
比如 来 去 上 下 里 中 内 外
"""

STOP_WORDS_EN = frozenset(_ENGLISH.split())
STOP_WORDS_ZH = frozenset(_CHINESE.split())
