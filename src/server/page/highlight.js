// SPDX-License-Identifier: Apache-2.0
// highlight.js: code as pieces with a kind: comment, string, number, keyword, name, tag, or none. Words, not grammars: enough to read by.

const words = text => new Set(text.split(" "));
const C = "if else for while do switch case default break continue return struct enum union typedef static const extern inline sizeof goto void int char " +
  "float double long short unsigned signed bool true false NULL";
const FAMILIES = {
  c: { comment: "//", block: true, keywords: words(C + " restrict volatile size_t uint8_t int32_t int64_t uint32_t uint64_t") },
  cpp: { comment: "//", block: true, keywords: words(C + " class public private protected virtual override template typename namespace using new delete auto " +
    "constexpr nullptr this try catch throw operator friend final noexcept") },
  java: { comment: "//", block: true, keywords: words(C + " class interface extends implements public private protected abstract final new this super import " +
    "package try catch finally throw throws null var val fun when object override open data sealed string String boolean byte in is as using namespace async await get set") },
  js: { comment: "//", block: true, template: true, keywords: words("if else for while do switch case default break continue return function const let var class extends new " +
    "this super import export from async await yield try catch finally throw typeof instanceof in of delete void null undefined true false type interface enum " +
    "implements public private protected readonly as static get set number string boolean any never unknown") },
  go: { comment: "//", block: true, template: true, keywords: words("if else for range switch case default break continue return func var const type struct interface map chan " +
    "go defer select package import nil true false string int int64 float64 bool byte error make new") },
  rust: { comment: "//", block: true, noChar: true, keywords: words("if else for while loop match break continue return fn let mut const static struct enum impl trait pub use mod crate " +
    "self Self super where move ref async await dyn unsafe true false as in type Option Some None Result Ok Err Vec String str i32 i64 u8 u32 u64 usize f32 f64 bool") },
  python: { comment: "#", triple: true, keywords: words("if elif else for while break continue return def class import from as with try except finally raise pass lambda yield " +
    "global nonlocal and or not in is None True False async await del assert self match case") },
  ruby: { comment: "#", keywords: words("if elsif else unless for while until break next return def class module require end do begin rescue ensure raise yield and or not in nil true " +
    "false self super then case when attr_reader attr_accessor puts") },
  shell: { comment: "#", keywords: words("if then elif else fi for in do done while until case esac function return exit export local echo cd set unset source sudo true false") },
  sql: { comment: "--", block: true, ignoreCase: true, keywords: words("select from where and or not in is null as on join left right inner outer full group by order having limit " +
    "offset insert into values update set delete create table drop alter index view primary key foreign references unique distinct union all case when then else end " +
    "exists between like asc desc with default count sum avg min max int integer text varchar boolean") },
  data: { comment: "#", keywords: words("true false null yes no on off") },
  css: { block: true, keywords: words("important auto none inherit initial flex grid block inline absolute relative fixed sticky") },
  markup: { markup: true },
};
const NAMES = {
  c: "c h", cpp: "cpp c++ cc cxx hpp cuda cu", java: "java kotlin kt scala cs csharp c# swift dart php groovy", js: "js javascript jsx ts typescript tsx mjs node",
  go: "go golang", rust: "rust rs", python: "python py python3 ipython", ruby: "ruby rb elixir perl r julia lua", shell: "sh bash shell zsh console fish makefile dockerfile",
  sql: "sql sqlite mysql postgresql postgres", data: "json yaml yml toml ini jsonc json5 properties", css: "css scss less", markup: "html xml svg vue xhtml",
};
const FAMILY_OF = new Map(Object.entries(NAMES).flatMap(([family, names]) => names.split(" ").map(name => [name, family])));

const escape = text => text.replace(/[.*+?^${}()|[\]\\\/-]/g, "\\$&");

/** One expression of named groups, tried at each place in turn. */
function expressionOf(family) {
  if (family.markup) return /(?<comment><!--[^]*?(?:-->|$))|(?<tag><\/?[A-Za-z][\w:.-]*|\/?>)|(?<string>"[^"\n]*"?|'[^'\n]*'?)|(?<word>[A-Za-z][\w-]*)|(?<other>[^<>"'A-Za-z]+|[^])/gy;
  const comments = [];
  if (family.comment) comments.push(escape(family.comment) + "[^\\n]*");
  if (family.block) comments.push("\\/\\*[^]*?(?:\\*\\/|$)");
  const strings = ['"(?:\\\\[^]|[^"\\\\\\n])*"?'];
  if (family.triple) strings.unshift('"""[^]*?(?:"""|$)', "'''[^]*?(?:'''|$)");
  if (family.template) strings.push("`(?:\\\\[^]|[^`\\\\])*`?");
  strings.push(family.noChar ? "'(?:\\\\[^]|[^'\\\\\\n])'" : "'(?:\\\\[^]|[^'\\\\\\n])*'?");
  return new RegExp(`(?<comment>${comments.join("|")})|(?<string>${strings.join("|")})|(?<number>\\b(?:0[xXbBoO][\\da-fA-F_]+|\\d[\\d_]*\\.?\\d*(?:[eE][+-]?\\d+)?)\\w*)|` +
    "(?<word>[A-Za-z_$][\\w$]*)|(?<other>\\s+|[^])", "gy");
}
const expressions = new Map();

/** [[kind, text], …]; the texts together are `code`. */
export function highlight(code, language) {
  const name = FAMILY_OF.get(String(language).toLowerCase());
  if (name === undefined || code.length > 100000) return [["", code]];
  const family = FAMILIES[name];
  if (!expressions.has(name)) expressions.set(name, expressionOf(family));
  const expression = expressions.get(name), pieces = [];
  const add = (kind, text) => { const last = pieces.at(-1); if (last && last[0] === kind) last[1] += text; else pieces.push([kind, text]); };
  expression.lastIndex = 0;
  for (let match; expression.lastIndex < code.length && (match = expression.exec(code)) !== null;) {
    const groups = match.groups;
    const isKeyword = groups.word !== undefined && family.keywords && family.keywords.has(family.ignoreCase ? groups.word.toLowerCase() : groups.word);
    const isCall = groups.word !== undefined && !isKeyword && !family.markup && code[expression.lastIndex] === "(";
    const isKey = name === "data" && groups.string !== undefined && /^\s*:/.test(code.slice(expression.lastIndex, expression.lastIndex + 8));
    add(groups.comment !== undefined ? "comment" : isKey ? "name" : groups.string !== undefined ? "string" : groups.number !== undefined ? "number" :
      groups.tag !== undefined ? "tag" : isKeyword ? "keyword" : isCall ? "name" : "", match[0]);
  }
  return pieces;
}
