"""Texts in which nothing is to be found."""

from __future__ import annotations

PUBLISHED = {
    "aws manual": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws manual, secret": "aws_secret_access_key='"
    + "wJalrXUtnFEMI/K7MDENG/"
    + "bPxRfiCYEXAMPLEKEY'",
    "azurite": "AccountKey="
    + "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSR"
    + "Z6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "github blog": "gh" + "p_16C7e42F292c6912E7710c838347Ae178B4a",
    "telegram manual": "1102015" + "43:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw",
    "telegram manual, newer": "48395748" + "12:AAFD39kkdpWt3ywyRZergyOLMaJhac60qc",
    "jwt.io": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    + "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
    + "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "crosses": "export HF_TOKEN=hf_" + "x" * 34,
    "alphabet": "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "counting": "gh" + "p_1234567890abcdefghijklmnopqrstuvwxyz",
    "slack manual": "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24,
    "placeholders": "hf_xxx, sk-..., ghp_YOUR_TOKEN_HERE, AKIA****************, AIza<your key>",
    "a header alone": "A PEM file begins with -----BEGIN " + "RSA PRIVATE KEY-----.",
    "dots for a key": "-----BEGIN "
    + "PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0...\n-----END PRIVATE KEY-----",
    "npmrc": "//registry.npmjs.org/:_authToken=${NPM_TOKEN}",
    "a url's password": "postgres://user:password@db.acme.io, https://me:<password>@acme.io",
    "this machine": "mysql://app:Zu7kQp2x@localhost:3306/db redis://x:Zu7kQp2x@redis:6379",
    "private network": "http://app:Zu7kQp2x@10.0.3.7:8080 http://app:Zu7kQp2x@127.0.0.1",
    "reserved domains": "a.b@example.com c@mail.example.org d@shop.example e@x.test "
    "f@y.invalid g@localhost h@pc.local",
    "test cards": "4111 1111 1111 1111, 4242424242424242, 5555-5555-5555-4444, 378282246310005, "
    "6011111111111117, 5105105105105100",
    "sample ibans": "DE89 3704 0044 0532 0130 00, GB82WEST12345698765432, NL91ABNA0417164300",
    "fictional phones": "+1 212 555 0123, +1 (415) 555-0199, +44 20 7946 0958, +44 7700 900123, "
    "+33 1 99 00 12 34, +61 491 570 156, +49 30 23125 123, +44 161 496 0123, +61 2 5550 1234",
    "made-up phones": "+1234567890, +1 234 567 8900, +1 (555) 123-4567, +91 98765 43210",
}
"""What manuals, textbooks and films use."""

NEARLY = {
    "a character short": "AKIA" + "2E7Q5JXNB4KMRT6",
    "in the middle of something": "xAKIA" + "2E7Q5JXNB4KMRT6WY",
    "too short a token": "hf_" + "KqWbZtLmXrVdPsGhNcJy",
    "a card against Luhn's formula": "4539 5787 6362 1487",
    "a card of no issuer": "7992 7398 7130 0003",
    "an iban with wrong check digits": "DE44 5001 0517 5407 3249 32",
    "no telephone": "+49 1 23, +1 212 736 500, +999 123 456 789",
    "no addresses": "someone@acme, @acme.io, a@b",
    "a repository": "git@github.com:acme/shop.git",
    "dotted names": "MZ9kLmQpRsTuVwXyZaBcDeFgH.config.ConfigurationManagerFactory1 "
    "NotificationServiceFactory.config.ConfigurationManagerFactory1",
    "a time and a name": "20240115:backup-of-the-database-of-acme-inc_",
    "a long word after a key": "key: the-42nd-release-of-the-configuration-server",
    "no signed token": "ey" + "JhbGciOi.ey" + "JzdWIiOi and ey" + "Jub3QganNvbg.ey" + "Jub3Q",
    "images": "logo@2x.png icon@3x.webp",
}
"""What only looks alike."""

ORDINARY = {
    "hashes": """
        commit 9fceb02d0ae598e95dc970b74767f19372d61af8
        sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -
        key = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'
        20240115:da39a3ee5e6b4b0d3255bfef95601890afd80709
    """,
    "uuids": """
        550e8400-e29b-41d4-a716-446655440000 123e4567-e89b-12d3-a456-426614174000
        key: 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """,
    "an image": "![dot](data:image/png;base64,"
    + "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO"
    * 400
    + "9TXL0Y4OHwAAAABJRU5ErkJggg==)",
    "mathematics": """
        f(x) = 3x+14159265358979, 2+2 = 4, 20! = 2432902008176640000, 17! = 355687428096000
        pi = 3.14159265358979323846, e = 2.718281828459045, 2^53 = 9007199254740992
        10 + 20 + 30 = 60, (+1)(+2)+3456789, 1/3 = 0.3333333333333333
    """,
    "versions": """
        torch==2.6.0+cu124 numpy>=1.26,<3 node@18.2.0 react@latest v1.2.3-rc.4+build.20240115
        127.0.0.1:8080 8.8.8.8 2001:4860:4860::8888
    """,
    "orders": """
        Order #2024-0001234567, tracking 1Z999AA10123456784, ISBN 978-3-16-148410-0,
        EAN 4006381333931, invoice INV-00012345, account 0012345678, part GB12-ABCD-0099
    """,
    "dates": """
        2024-01-15T09:30:00+00:00 2024-01-15 2024-01-16 2023-12-31 20240115093000 1705311000000
        +05:30 UTC+2, GMT+8, 1999 2000 2001 2002, 2222-2223 2224
    """,
    "tables": """
        4111 2000 3000 4000 5000 6000 7000 8000
        1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18
        5500 6000 6500 7000 7500 8000
    """,
    "code": """
        @app.get("/users")
        def token_of(user: User, key: str = "user_id") -> str:
            password = get_password_from_the_configuration_file_2024()
            return f"{user.name}@{user.host}"
        # secret_key: change_this_value_before_you_deploy_it_to_production
        import { AppSecretKeyProviderFactoryBean } from "@acme/config-service-provider";
    """,
    "shell": """
        ssh -i ~/.ssh/id_rsa deploy@10.0.0.5; curl -u user:pass https://api.example.com
        scp a.txt me@host:/tmp
        docker run nginx@sha256:0d17b565c37bcbd895e9d92315a05c1c3c9a29f762b011a10c54a66cd53c9b31
    """,
    "java": "com.acme.OrganizationServiceProviderX.Config.ConfigurationManagerFactoryBean.build()",
    "biology": """
        >seq
        ACCAGTCAGTCAGTCAGTCAGGTTAACC ACCAGTCAGTCAGTCAGTCA
        MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQASIAKIAASDFGHKLPWERTYIASD
    """,
    "shouting": """
        WELCOME TO THE ASIAPACIFICSALESKICKOFF, APCalculusBC AND APBiologyExam FOR EVERYONE,
        AKCRegisteredPuppies, APACHEHTTPSERVER
    """,
    "social": """
        Follow @acme_news and @jane on X, e-mail [name] at [domain] dot com, /u/someone,
        C++20, 5+ years, A+, 100+
    """,
    "json": """
        {"id": "chatcmpl-9XyZ", "usage": {"prompt_tokens": 12, "total_tokens": 345},
        "logprob": -0.12345678901234567, "token": "the"}
    """,
    "languages": "パスワードは秘密です。 密码:请勿分享。 Пароль: не сообщайте никому. كلمة السر",
}
"""What alignment data is made of."""

PLACEHOLDERS = [
    *(
        f"Write to {address} or call."
        for address in (
            "user@example.com name@domain.com you@yourdomain.com your.email@company.com "
            "john.doe@company.com jane@yourcompany.com email@email.com test@test.com "
            "someone@gmail.com username@gmail.com yourname@gmail.com your_email@outlook.com "
            "firstname.lastname@acme.io john.doe@gmail.com janedoe@yahoo.com info@website.com "
            "admin@yourwebsite.com support@mycompany.com contact@business.com hr@xyz.com "
            "recipient@mail.com sender@host.com student@university.edu abc@xyz.com foo@bar.com "
            "me@somewhere.org name@provider.com user@server.com hello@yourbrand.com "
            "first.last@organization.org xxx@xxx.com"
        ).split()
    ),
    "API_KEY=your-api-key-here",
    "export OPENAI_API_KEY='your_openai_api_key'",
    "api_key: <YOUR_API_KEY>",
    'api_key = "sk-your-key-goes-here-1234567890"',
    "AWS_SECRET_ACCESS_KEY=your_aws_secret_access_key_goes_here_123",
    "aws_secret_access_key = " + "X" * 40,
    "aws_secret_access_key = ${AWS_SECRET}",
    "secret_key = os.environ['SECRET_KEY']",
    "token = get_token_from_request(request, 'X-Token')",
    "SECRET_KEY = 'django-insecure-change-this-before-you-deploy'",
    "token: 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "key = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'",
    "session_token=7c9e6679-7425-40de-944b-e07fc1f90ae7",
    'client_secret="abcdefghijklmnopqrstuvwxyz123456"',
    "access_key = ConfigurationManagerFactory2024Bean",
    "private_key: /etc/ssl/private/Server2024Key.pem",
    "password = generateRandomPassword12Characters();",
    "Password=password;",
    "Server=localhost;Database=shop;User Id=sa;Password=Zu7kQp2xWyAb;",
    "Server=myServerAddress;Database=db;User Id=myUser;Password=myPassword123;",
    "Server=db.acme.io;Database=shop;User Id=sa;Password=<password>;",
    "Server=db.acme.io;Database=shop;Uid=sa;Pwd=${DB_PWD};",
    "String password = hashed; int port = 8080;",
    "jdbc:mysql://localhost:3306/shop?user=root&password=Zu7kQp2x",
    "jdbc:postgresql://db.acme.io/shop?user=carol&password=secret",
    "redis://:password@cache.acme.io:6379 redis://:${REDIS}@cache.acme.io",
    "redis://:Zu7kQp2xWy@127.0.0.1:6379 amqp://guest:guest@rabbit",
    "https://user:pass@example.com/path",
    "The ratio 16:9, at 10:30: see https://acme.io:8443/@carol",
    "https://medium.com/@carol/a-story-12ab34cd56ef",
    "git clone ssh://git@github.com:22/acme/shop.git",
    "卡号4111111111111111，电话+1 212 555 0123，邮箱user@example.com。",
    "订单号2024000123456789，编号0012345678901234。",
    "\\n4111111111111111\\n+1 (555) 123-4567\\nname@domain.com\\n",
    "_4242424242424242_ _user@example.org_",
    "-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\\n-----END PUBLIC KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\\n...\\n-----END RSA PRIVATE KEY-----",
    "Authorization: Bearer <token> and Bearer YOUR_TOKEN_HERE",
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc is a key for tests",
    "md5 9e107d9d372bb6826bd81d3542a419d6, sha1 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "the tokenizer's pad_token=<|endoftext|>, eos_token_id=2, max_new_tokens=512",
]
"""Placeholders, and values that are reserved and belong to no one."""
