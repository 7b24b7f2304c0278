Stripe.api_key = "sk_live_aF8JPmCefDSvm617Y32rsegt"
pk = "pk_test_7UdR6VW1aoJz1svKx3UWthzo"
