// Package reprise is the client of Reprise: webhooks start Claude runs that remember.
//
//	api, err := reprise.Connect()
//	if err != nil {
//		return err
//	}
//	defer api.Close()
//	fired, err := api.Fire(ctx, reprise.Fire{Trigger: "github-demo", Sample: "issue_comment"})
//	if err != nil {
//		return err
//	}
//	for entry, err := range api.Watch(ctx, fired.GetRun().GetId()) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(entry.GetText().GetText())
//	}
//
// The messages, enums and services are in package reprisev1, in the directory v1. An rpc that fails gives an [*Error].
package reprise
