package evidence

import "strings"

// A phrase is a text of the report in Chinese and in English.
type phrase struct{ zh, en string }

func (p phrase) in(lang string) string {
	if lang == LangEnglish {
		return p.en
	}
	return p.zh
}

// The fixed texts of the report.
var (
	sayTitle      = phrase{"电子签署证据报告", "Evidence report on an electronic signing"}
	sayIssued     = phrase{"出证报告", "issued report"}
	sayVerdict    = phrase{"验证结论", "Verdict"}
	sayPage       = phrase{"第 %d 页，共 %d 页", "page %d of %d"}
	sayBundle     = phrase{"证据包 SHA-256", "Bundle SHA-256"}
	sayQR         = phrase{"二维码：证据包摘要与日志检查点", "QR code: digest of the bundle, checkpoint of the log"}
	sayNone       = phrase{"无", "none"}
	sayNotProven  = phrase{"未证明", "not proven"}
	sayUndisclose = phrase{"未披露", "not disclosed"}
	sayErased     = phrase{"已依法删除", "erased"}
	sayOpen       = phrase{"流程尚未结束", "open"}
	sayFirstBad   = phrase{"首个异常事件", "First bad event"}

	sayNumber     = phrase{"报告编号", "Report number"}
	sayKind       = phrase{"报告类型", "Kind of report"}
	sayIssuer     = phrase{"出具方", "Issued by"}
	sayEnvelope   = phrase{"签署流程", "Envelope"}
	sayTenant     = phrase{"所属租户", "Tenant"}
	sayOrigin     = phrase{"证据日志", "Evidence log"}
	sayClaim      = phrase{"完整性声明", "Claim of completeness"}
	sayCheckpoint = phrase{"日志检查点", "Log checkpoint"}
	sayHost       = phrase{"运行环境（系统自报）", "Environment (as the host reports)"}

	headParties   = phrase{"一、当事人（已脱敏）", "1. Parties (masked)"}
	headDocuments = phrase{"二、文件与摘要", "2. Documents and digests"}
	headTimeline  = phrase{"三、事件时间线", "3. Timeline"}
	headWindows   = phrase{"四、时间区间", "4. Time windows"}
	headIdentity  = phrase{"五、身份与意愿", "5. Identity and intent"}
	headChecks    = phrase{"六、验证记录", "6. Verification transcript"}
	headScope     = phrase{"七、证明范围与声明", "7. Scope and disclaimer"}
	headLegal     = phrase{"八、法律依据对照", "8. Legal mapping"}
	headHowto     = phrase{"九、如何自行验证", "9. How to verify"}

	sayWindows = phrase{"T0 为事件不可能早于的时刻，T1 为不可能晚于的时刻，均由外部时间戳给出；“声称”为出具方时钟。生效时刻不作判断。",
		"An event cannot be older than T0 nor younger than T1, as timestamps from outside show; “claimed” is the operator's clock. The effective instant is not judged."}
	sayIdentityNone = phrase{"事件中没有身份或意愿认证结果。", "No event holds a result of an identity or intent check."}

	colSeq      = phrase{"序号", "No."}
	colEvent    = phrase{"事件", "Event"}
	colTime     = phrase{"记录时刻（+08:00 / UTC）", "Recorded (+08:00 / UTC)"}
	colActor    = phrase{"行为人 / 角色 / 账户", "Actor / role / account"}
	colHash     = phrase{"事件 SHA-256", "SHA-256 of the event"}
	colParty    = phrase{"代号", "Alias"}
	colData     = phrase{"信息（脱敏）", "Data (masked)"}
	colSeen     = phrase{"所涉事件", "Events"}
	colDocument = phrase{"文件", "Document"}
	colSize     = phrase{"字节", "Bytes"}
	colDigests  = phrase{"SHA-256 / SM3", "SHA-256 / SM3"}
	colClaimed  = phrase{"声称", "Claimed"}
	colEff      = phrase{"生效", "Effective"}
	colLevel    = phrase{"等级", "Level"}
	colMethod   = phrase{"方式 / 机构", "Method / provider"}
	colProof    = phrase{"交易摘要 / 证书 SHA-256 / 证书截止", "Transaction digest / certificate SHA-256 / its end"}
	colCheck    = phrase{"检查项", "Check"}
	colResult   = phrase{"结果", "Result"}
	colWhere    = phrase{"位置与说明", "Where, and what"}
	colBasis    = phrase{"依据", "Basis"}
	colAnswer   = phrase{"对应内容", "Answered by"}
	colLimit    = phrase{"局限", "Limit"}
)

var sayVerdicts = map[Verdict]phrase{
	Passed:        {"通过：在验证者自行提供的信任下，全部必要检查均通过", "PASSED: every required check passed under the verifier's own trust"},
	Failed:        {"不通过：存在相互矛盾之处", "FAILED: something contradicts"},
	Indeterminate: {"未定：未见矛盾，但缺少信任、时间锚或文件", "INDETERMINATE: nothing contradicts, but trust, an anchor or a document is missing"},
}

var sayKinds = map[ReportKind]phrase{
	SigningReport:    {"签署证据报告", "signing report"},
	VerificationOnly: {"验证报告", "verification only"},
	NotaryPackage:    {"公证材料", "notary package"},
}

// sayScope is the disclaimer (T52 T55), paragraph by paragraph.
var sayScope = []phrase{
	{"本报告只证明本软件自身功能所产生的事实：所列字节、先后次序、截至声明点的完整性、两侧时间区间，以及哪些密钥与服务方作出了应答。",
		"This report attests facts that the software's own functions produced, and no others: bytes, order, completeness up to the point claimed, windows of time with two sides, and which keys and providers spoke."},
	{"本报告不证明当事人所填内容真实，不证明文件内容合法有效，也不对合同效力、当事人行为能力或争议的是非作出判断，后者由司法机关认定。",
		"It does not attest that what people typed is true, nor that a document is lawful or valid; and it judges neither the force of a contract, nor anybody's capacity, nor the merits of a dispute. Those are for the court."},
	{"自营日志只有经外部时间戳、见证方、区块链凭据或他人所持回执约束后，才能对抗其运营者本人；缺少时结论为“未定”。",
		"A log binds its own operator only through an outside timestamp, a witness, a ledger's receipt or a receipt that somebody else holds; without one the verdict stays open."},
	{"个人信息以承诺值参与证据链；未披露或已依法删除的内容不影响证明，也不能从本报告推出。",
		"Personal data take part in the chain as commitments; what is not disclosed, or was erased as the law asks, changes no proof and cannot be inferred from this report."},
	{"本报告是证据包的一个视图：可随时由证据包重新生成，相同输入得到相同字节；二者不一致时以证据包为准。",
		"This report is a view of the bundle: it can be made again from the bundle at any time, and equal input gives equal bytes. Where the two differ, the bundle prevails."},
}

// A legalRow says what of a rule the evidence answers, and how far.
type legalRow struct{ basis, answer, limit phrase }

// The wording is "structured after", never "conforms to".
var legalNote = phrase{"下表按有关规定的结构编排（structured after），不构成符合性声明。",
	"The table is structured after the rules it names; it claims no conformity."}

var legalTable = []legalRow{
	{phrase{"民事诉讼证据规定第93条第1款(1)(2)：环境完整可靠、正常运行", "Civil evidence rules §93(1)(2): environment, normal running"},
		phrase{"environment.json：软件与模块摘要、操作系统、时钟偏差、自检", "environment.json: SDK and module hashes, OS, clock offset, self-test"},
		phrase{"由运行方自报", "self-reported by the host"}},
	{phrase{"第93条第1款(3)：有效的监测、核查手段", "§93(3): monitoring and checking"}, phrase{"心跳事件与日志审计", "heartbeat audits"},
		phrase{"自日志启用之后", "since the log began"}},
	{phrase{"第93条第1款(4)：完整保存、传输、提取", "§93(4): preserved, transmitted, extracted whole"},
		phrase{"双摘要；提取事件（何人、何时、何法）", "dual digests, extraction event (who, when, how)"}, phrase{"软件之外的介质不可见", "media outside the SDK unseen"}},
	{phrase{"第93条第1款(5)：正常往来活动中形成", "§93(5): normal course of business"},
		phrase{"完整事件链，含查看、通知、验证码", "the full chain, views, notices and codes included"}, phrase{"上传之前不可见", "nothing before upload"}},
	{phrase{"第93条第1款(6)、第94条：适当的保存主体、中立第三方平台", "§93(6), §94: custodian, neutral platform"},
		phrase{"运营者、时间戳机构、见证方、区块链；利害关系声明", "operator, TSA, witness, chain; statement of interest"},
		phrase{"自建自用的一方并非中立", "a self-hosting party is not neutral"}},
	{phrase{"人民法院在线诉讼规则第16条：上链后一致性", "Online litigation rules §16: consistency on chain"}, phrase{"链上凭据、核验记录", "chain receipt, transcript"},
		phrase{"仅在使用区块链锚定时", "only with a chain anchor"}},
	{phrase{"第17条：平台资质、利害关系、流程", "§17: platform, interest, process"}, phrase{"声明与流程说明", "statement, process description"},
		phrase{"由法院判断", "the court judges"}},
	{phrase{"第18条：上链前真实性", "§18: truth before anchoring"}, phrase{"服务方标识、来源、T0", "provider ids, provenance, T0"},
		phrase{"不涉及内容真伪", "says nothing of content"}},
	{phrase{"第19条：专门知识的人协助", "§19: expert help"}, phrase{"HOWTO-VERIFY.txt 的算法与公开测试向量", "the algorithm of HOWTO-VERIFY.txt, published vectors"},
		phrase{"—", "—"}},
	{phrase{"电子签名法第13条：可靠电子签名四要件", "E-signature law §13: four conditions"},
		phrase{"密钥控制、意愿与摘要绑定、改动可查", "key control, intent bound to digest, change detection"}, phrase{"密钥保管方式按签署人逐一说明", "key custody stated per signer"}},
	{phrase{"第24条：证书失效后保存至少五年", "§24: retention at least 5 years after certificate expiry"}, phrase{"保存期限时钟", "retention clock"},
		phrase{"为认证机构之义务；我方保存自身部分", "the certifier's duty; we keep our part"}},
}

// sayHowto are the steps for a reader with a computer and this file's bundle.
// sayHowtoInside is the first step of a report that is an entry of the bundle.
var sayHowtoInside = phrase{"1. 本报告随附于证据包内，清单 manifest.json 载有其摘要，故不载证据包自身的摘要。", "1. This report is an entry of the bundle, whose manifest.json has its digest; so it cannot have that of the bundle."}

var sayHowto = []phrase{
	{"1. 计算证据包文件（.esev）的 SHA-256，应与本报告及二维码所载一致。", "1. Compute the SHA-256 of the bundle (.esev): it is the one in this report and its QR code."},
	{"2. 自行取得信任文件：日志公钥与时间戳机构根证书，不得取自证据包或本报告。", "2. Get a trust file by a way of your own: the log's public key and the roots of timestamp authorities. Never take them from the bundle or from here."},
	{"3. 离线运行：go run ./examples/verify -bundle 文件.esev -keys 信任文件。退出码 0 通过，1 不通过，2 未定。", "3. Run offline: go run ./examples/verify -bundle file.esev -keys trust. Exit 0 PASSED, 1 FAILED, 2 INDETERMINATE."},
	{"4. 亦可不用本软件：证据包为普通 zip，内附 HOWTO-VERIFY.txt 逐步给出算法（SHA-256、SM3、Ed25519、RFC 6962、RFC 3161）。", "4. Or without this software: the bundle is a plain zip, whose HOWTO-VERIFY.txt gives the algorithm step by step (SHA-256, SM3, Ed25519, RFC 6962, RFC 3161)."},
	{"5. 若持有回执（receipt），一并与证据包比对：运营者改写历史即会与回执冲突。", "5. If you hold a receipt, compare it with the bundle: an operator who rewrote the past conflicts with it."},
}

// sayChecks explains the codes of checks.
var sayChecks = map[string]phrase{
	CodeContainer:      {"容器为唯一形式", "the file is the one form of its entries"},
	CodeManifest:       {"条目与清单一致", "every entry is what the manifest says"},
	CodeManifestNote:   {"清单由日志签名", "the log signed the manifest"},
	CodeLogKey:         {"未提供该日志的可信公钥", "no trusted key of this log was given"},
	CodeEvent:          {"事件为规范形式", "each event has its one form"},
	CodeEventType:      {"未知事件类型", "an event of a newer release"},
	CodeChain:          {"事件首尾相接", "events follow one another from the genesis"},
	CodeSeal:           {"链封属实", "what the chain seal says is so"},
	CodeLeaf:           {"日志叶子即本事件", "the leaf in the log is this event"},
	CodeInclusion:      {"叶子包含于日志树", "the leaf is in the tree"},
	CodeCheckpoint:     {"检查点由日志签名", "the log signed the tree"},
	CodeConsistency:    {"后树延续前树", "later trees extend earlier ones"},
	CodeAnchor:         {"外部时间锚有效", "somebody outside saw the tree in time"},
	CodeAnchorTrust:    {"时间锚未获信任", "an anchor whose key or root was not given"},
	CodeRenewal:        {"时间锚已及时续期", "an anchor was renewed in time"},
	CodeRenewedDigests: {"仅续期摘要，不及文件", "renewed under another hash: digests, not documents"},
	CodeUnbound:        {"无外部约束运营者", "nothing outside binds the operator"},
	CodeClock:          {"声称时刻在区间之外", "the claimed instant is outside its window"},
	CodeDocument:       {"文件与事件一致", "the document is what the events say"},
	CodeDocumentAbsent: {"文件未随附", "the document's bytes are not here"},
	CodeDocumentCheck:  {"文件内签名", "the document's own signatures"},
	CodeDisclosure:     {"披露值与承诺一致", "a disclosed value is what was committed"},
	CodeReceipt:        {"与所持回执一致", "the bundle agrees with receipts held"},
	CodeLoss:           {"承诺值无故丢失", "a committed value was lost without explanation"},
}

var sayFields = map[string]phrase{
	"name": {"姓名", "name"}, "phone": {"手机", "phone"}, "email": {"邮箱", "e-mail"}, "id_number": {"证件号", "ID number"},
	"bank_card": {"银行卡", "bank card"}, "ip": {"IP", "IP"}, "address": {"地址", "address"}, "location": {"位置", "location"},
	"biometric": {"生物特征", "biometric"}, "text": {"文本", "text"}, "forwarded": {"转发链", "forwarded chain"}, "user_agent": {"设备", "user agent"},
}

// sayTypes names event types in Chinese; English is the type's own words.
var sayTypes = map[string]string{
	"session.login": "登录", "session.logout": "退出", "admin.acted": "管理操作", "org.changed": "组织变更", "seal.granted": "印章授权", "seal.revoked": "印章授权撤销",
	"document.uploaded": "上传文件", "document.rendered": "生成文件", "document.viewed": "查看文件", "document.dwelt": "阅读停留", "document.downloaded": "下载文件",
	"attachment.uploaded": "上传附件", "notice.queued": "通知排队", "notice.submitted": "通知提交", "notice.delivered": "通知送达", "notice.failed": "通知失败",
	"notice.dropped": "通知取消", "notice.unknown": "通知结果不明", "code.queued": "验证码排队", "code.sent": "验证码发出", "code.checked": "验证码通过",
	"code.refused": "验证码不符", "code.consumed": "验证码使用", "code.failed": "验证码失败", "consent.given": "同意", "consent.withdrawn": "撤回同意",
	"terms.accepted": "接受协议", "authorisation.attached": "附授权书", "identity.started": "发起实名", "identity.checked": "实名通过", "identity.failed": "实名未通过",
	"intent.checked": "意愿认证通过", "intent.failed": "意愿认证未通过", "certificate.requested": "申请证书", "certificate.issued": "签发证书",
	"certificate.revoked": "吊销证书", "evidence.harvested": "收集证据", "harvest.missed": "证据缺失", "chain.sealed": "链封", "subject.erased": "删除个人信息",
	"bundle.exported": "导出证据包", "receipt.issued": "发出回执", "evidence.renewed": "证据续期", "subject.exported": "导出个人信息",
	"subject.corrected": "更正个人信息", "delivery.confirmed": "确认送达", "report.applied": "申请出证", "report.accepted": "受理出证", "report.refused": "拒绝出证",
	"report.extracted": "提取证据", "report.verified": "核验证据", "report.issued": "出具报告", "report.superseded": "报告被替代", "log.beat": "日志心跳",
	"log.alarm": "日志告警", "log.equivocation": "日志分叉", "log.access": "访问日志", "envelope.created": "创建流程", "envelope.edited": "修改流程", "envelope.discarded": "删除草稿",
	"envelope.extended": "延长期限", "envelope.finishing": "开始收尾", "envelope.sent": "发起签署", "review.passed": "审核通过", "review.returned": "审核退回",
	"review.answered": "审核答复", "review.recalled": "撤回审核", "review.refused": "审核拒绝", "fields.filled": "填写内容", "finalize.failed": "定稿失败",
	"finalize.degraded": "降级定稿", "document.finalized": "文件定稿", "envelope.completed": "签署完成", "envelope.declined": "拒绝签署", "envelope.revoked": "撤销流程",
	"envelope.closed": "关闭流程", "envelope.expired": "流程过期", "envelope.invalidated": "流程失效", "release.begun": "发起解除", "release.ended": "解除终止",
	"release.done": "解除完成", "envelope.releasing": "解除中", "envelope.released": "已解除", "envelope.partially_released": "部分解除", "recipient.invited": "邀请",
	"recipient.viewed": "签署人查看", "recipient.blocked": "签署人受阻", "recipient.ready": "待签", "recipient.lapsed": "资格失效", "recipient.approved": "审批通过",
	"recipient.opened": "签署人打开", "recipient.declined": "签署人拒签", "recipient.replaced": "更换签署人", "recipient.removed": "移除签署人",
	"recipient.expired": "签署人过期", "recipient.satisfied": "无需再签", "recipient.added": "增加签署人", "recipient.rerouted": "变更送达方式",
	"recipient.reminded": "催办", "recipient.revoked": "对签署人撤销", "recipient.notified": "通知签署人", "recipient.transferred": "转签", "recipient.signed": "签署",
	"recipient.voided": "签名作废", "recipient.released": "签署人解除", "gate.passed": "审批节点通过", "gate.answered": "审批节点答复", "gate.returned": "审批节点退回",
	"gate.resubmitted": "审批重新提交", "gate.refused": "审批节点拒绝", "units.held": "冻结额度", "units.captured": "扣减额度", "units.released": "退回额度",
	"units.charged": "计费",
}

// typeName is an event type in a language; a type of a newer release is itself.
func typeName(typ, lang string) string {
	if zh := sayTypes[typ]; zh != "" && lang != LangEnglish {
		return zh
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(typ)
}
