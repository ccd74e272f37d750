// Command gen writes examples/quickstart/contract.pdf, the sample contract of
// the quick start: two pages in Chinese and English between parties that do not
// exist. The same program always writes the same bytes.
package main

import (
	"fmt"
	"os"

	"github.com/countersign/countersign/internal/typeset"
)

//go:generate go run . ../contract.pdf

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], contract(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

const (
	pageW, pageH = 595.276, 841.89 // A4
	margin       = 64.0
	measure      = pageW - 2*margin
)

var (
	ink  = typeset.Color{0.08, 0.08, 0.1}
	grey = typeset.Color{0.42, 0.42, 0.46}
	rule = typeset.Color{0.75, 0.75, 0.78}
)

// A setter puts lines on pages from the top down.
type setter struct {
	doc *typeset.Doc
	p   *typeset.Page
	y   float64
	n   int
}

func (s *setter) page() {
	s.n++
	s.p = s.doc.Page(pageW, pageH)
	s.y = pageH - 56
	s.p.Fill(grey)
	s.p.Text(margin, s.y, 8, "软件开发服务合同 · Software Development Services Agreement")
	right(s.p, pageW-margin, s.y, 8, "No. YS-2026-0315")
	s.p.Stroke(rule)
	s.p.Line(margin, s.y-7, pageW-margin, s.y-7, 0.5)
	s.p.Line(margin, 50, pageW-margin, 50, 0.5)
	s.p.Text(margin, 38, 8, "示例合同，当事人均为虚构 · Sample; all parties are invented")
	right(s.p, pageW-margin, 38, 8, fmt.Sprintf("第 %d 页，共 2 页 · Page %d of 2", s.n, s.n))
	s.p.Fill(ink)
	s.y -= 34
}

func right(p *typeset.Page, x, y, size float64, text string) {
	p.Text(x-typeset.Measure(text, size, false), y, size, text)
}

func (s *setter) centred(size float64, text string) {
	s.p.BoldText((pageW-typeset.Measure(text, size, true))/2, s.y, size, text)
}

func (s *setter) para(x, size, leading float64, text string) {
	for _, l := range typeset.Wrap(text, size, pageW-margin-x) {
		s.p.Text(x, s.y, size, l)
		s.y -= leading
	}
}

// clause sets a heading and its two versions, Chinese first.
func (s *setter) clause(heading, zh, en string) {
	s.p.BoldText(margin, s.y, 10.5, heading)
	s.y -= 16
	s.para(margin, 10, 15.5, zh)
	s.p.Fill(grey)
	s.y -= 0.5
	s.para(margin, 8.5, 12, en)
	s.p.Fill(ink)
	s.y -= 8.5
}

func contract() []byte {
	s := &setter{doc: &typeset.Doc{Title: "软件开发服务合同 Software Development Services Agreement", Author: "countersign sample", Lang: "zh-CN"}}
	s.page()
	s.y -= 6
	s.centred(20, "软件开发服务合同")
	s.y -= 20
	s.centred(11, "Software Development Services Agreement")
	s.y -= 32

	for _, p := range [][2]string{
		{"甲方（委托方）Party A", "云杉示例贸易有限公司  Yunshan Sample Trading Co., Ltd."},
		{"统一社会信用代码 Credit code", "91350100M000100Y43（示例 sample）"},
		{"乙方（服务方）Party B", "李小禾  Li Xiaohe"},
		{"签订地点 Place", "上海市  Shanghai"},
	} {
		s.p.Fill(grey)
		s.p.Text(margin, s.y, 9, p[0])
		s.p.Fill(ink)
		s.p.Text(margin+150, s.y, 10, p[1])
		s.p.Line(margin+150, s.y-4, pageW-margin, s.y-4, 0.4)
		s.y -= 20
	}
	s.y -= 8
	s.para(margin, 10, 15.5, "根据《中华人民共和国民法典》及有关法律，甲乙双方在平等、自愿的基础上，就甲方委托乙方开发仓储管理软件一事协商一致，订立本合同，共同遵守。")
	s.p.Fill(grey)
	s.para(margin, 8.5, 12, "Under the Civil Code of the People's Republic of China and related laws, the parties, on an equal and voluntary footing, agree as follows on the development of warehouse software that Party A commissions from Party B.")
	s.p.Fill(ink)
	s.y -= 10

	s.clause("第一条  服务内容  Scope of services",
		"乙方为甲方设计、开发并部署仓储管理软件（以下简称“软件”），包括入库、出库、盘点和报表四个模块，并提供使用手册与不少于十六小时的培训。",
		"Party B designs, develops and deploys warehouse management software (the \"Software\") with four modules: receiving, dispatch, stocktaking and reports; and delivers a manual and at least sixteen hours of training.")
	s.clause("第二条  期限与交付  Term and delivery",
		"服务期自2026年4月1日起至2026年9月30日止。乙方应于2026年8月31日前交付软件供甲方验收；甲方应在收到后十个工作日内书面答复，逾期未答复的，视为验收合格。",
		"The services run from 1 April 2026 to 30 September 2026. Party B delivers the Software for acceptance by 31 August 2026; Party A answers in writing within ten working days of receipt, failing which it is deemed accepted.")
	s.clause("第三条  费用与支付  Fees and payment",
		"合同总价为人民币壹拾贰万捌仟元整（¥128,000.00，含税6%）。签订后五个工作日内支付百分之三十，验收合格后十个工作日内支付百分之六十，余款于质保期满后支付。",
		"The total price is CNY 128,000.00, tax of 6 % included: 30 % within five working days of signing, 60 % within ten working days of acceptance, the rest at the end of the warranty period.")
	s.clause("第四条  验收与质保  Acceptance and warranty",
		"软件自验收合格之日起享有六个月的免费质保期。质保期内发现的缺陷，乙方应在收到通知后二十四小时内响应，并在五个工作日内修复；逾期未修复的，甲方可以委托他人修复，合理费用由乙方承担。",
		"The Software has a free warranty of six months from acceptance. Party B responds to a reported defect within twenty-four hours and repairs it within five working days; after that Party A may have it repaired at Party B's reasonable expense.")

	s.page()
	s.clause("第五条  知识产权  Intellectual property",
		"软件的著作权自甲方付清全部款项之日起归甲方所有。乙方保证软件不侵犯任何第三方的权利；使用开放源代码的，应当列明其名称、版本与许可证。",
		"Copyright in the Software passes to Party A once all fees are paid. Party B warrants that it infringes no rights of others and lists name, version and licence of every open-source component.")
	s.clause("第六条  保密与个人信息  Confidentiality and personal information",
		"双方对在履行中知悉的商业秘密与个人信息负有保密义务，仅得为履行本合同之目的处理，合同终止后三年内仍然有效；法律另有规定的，从其规定。",
		"Each party keeps confidential the business secrets and personal information it learns, uses them only to perform this agreement, and remains bound for three years after it ends, unless the law provides otherwise.")
	s.clause("第七条  违约责任  Liability",
		"一方迟延履行的，每逾期一日按迟延部分价款的千分之一支付违约金，累计不超过合同总价的百分之十。因不可抗力不能履行的，依法免除责任。",
		"A party in delay pays 0.1 % of the delayed part of the price per day, up to 10 % of the total price. Force majeure excuses performance as the law provides.")
	s.clause("第八条  争议解决与签署  Disputes and signature",
		"因本合同发生的争议，双方应协商解决；协商不成的，提交甲方所在地有管辖权的人民法院。本合同以电子签名方式签署，与手写签名或者盖章具有同等的法律效力，自双方签署之日起生效。中英文不一致的，以中文为准。",
		"Disputes are settled by negotiation, failing which by the competent court at Party A's seat. This agreement is signed electronically, with the same legal effect as handwritten signatures or seals, and takes effect when both have signed. The Chinese text prevails.")
	s.signatures()
	return s.doc.Bytes()
}

// signatures draws two boxes, side by side, on the last page.
func (s *setter) signatures() {
	s.y -= 6
	s.p.Fill(grey)
	s.p.Text(margin, s.y, 9, "（以下为签署区  Signatures）")
	s.p.Fill(ink)
	s.p.Stroke(rule)
	const w, h, gap = 222.0, 138.0, 23.276
	top := s.y - 12
	for i, who := range [][2]string{{"甲方（盖章）Party A (seal)", "云杉示例贸易有限公司"}, {"乙方（签名）Party B (signature)", "李小禾"}} {
		x := margin + float64(i)*(w+gap)
		s.p.Rect(x, top-h, w, h, 0.6)
		s.p.BoldText(x+10, top-19, 10, who[0])
		s.p.Text(x+10, top-36, 10, who[1])
		s.p.Fill(grey)
		s.p.Text(x+10, top-h+12, 8.5, "日期 Date:")
		s.p.Fill(ink)
		s.p.Line(x+56, top-h+10, x+w-12, top-h+10, 0.4)
	}
}
